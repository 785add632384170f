package bench

import (
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// A small benchmark counts what the program and regsync do. Their seconds are not judged: other tests may be running.
func TestRun(t *testing.T) {
	network := Network{TLS: true, RoundTrip: 2 * time.Millisecond, Rate: 400}
	results, err := Run(t.Context(), Options{
		Rounds: 1, Networks: []Network{network}, Kinds: []engine.Kind{engine.Containerd}, Parallel: []int{4},
		Only: []string{nameOurs, nameRegsync}, Scale: corpus.Small, Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, phase := range Phases() {
		ours, theirs := results.of(network, engine.Containerd, nameOurs, phase), results.of(network, engine.Containerd, nameRegsync, phase)
		if len(ours) != 1 || len(theirs) != 1 {
			t.Fatalf("%s: %d and %d samples, want one each", phase, len(ours), len(theirs))
		}
		once := 1.0
		if phase == Again {
			once = 0
		}
		if out, in := hundredths(ours[0].ratioOut()), hundredths(ours[0].ratioIn()); out != once || in != once {
			t.Errorf("%s: %.2f out of ECR and %.2f into GitLab, want %.2f", phase, out, in, once)
		}
		for _, sample := range []Sample{ours[0], theirs[0]} {
			if sample.asked(GitLab) == 0 || sample.CPU.Own == 0 || sample.PeakMemory == 0 {
				t.Errorf("%s: not counted: %s", phase, sample)
			}
		}
		if cpu := ours[0].CPU; cpu.Dockerd == 0 || phase == First && cpu.Containerd == 0 {
			t.Errorf("%s: the engine's processor time was not counted: %s", phase, cpu)
		}
	}
}
