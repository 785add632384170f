package bench

import (
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

func TestMarkdown(t *testing.T) {
	r := newResults()
	r.Rounds, r.Tags, r.UniqueBytes = 3, 108, 381e6
	r.Engines[engine.Containerd] = "29.0.0"
	r.took(slow, engine.Containerd, nameScript, 0, 80)
	for _, seconds := range []float64{16, 99, 20} {
		r.add(Key{slow, engine.Containerd, nameOurs, 0, First}, Sample{
			Seconds: seconds, EngineCPU: 27.04, PeakDisk: 700e6, PeakMemory: 30 << 20, BytesOut: 101, BytesIn: 100, UniqueBytes: 100,
		})
	}
	r.took(slow, "", nameRegsync, 4, 25)
	got := r.Markdown()
	for _, want := range []string{
		"108 tags, 381 MB in blobs",
		"\n\nMedians of 3 rounds. ",
		"Engine with the containerd store: 29.0.0.",
		"\nRound trip of 30 ms, containerd store:\n",
		"| the tutorial's script | 80.0 s | – | – | 1.00 | – | 1.00 | – | – | – | – | – |\n",
		"| ecr2gitlab | 20.0 s (4.0×) | – | – | 1.01 | – | 1.00 | – | 27.0 s | – | 700 MB | 30 MiB |\n",
		"| regsync (no engine), 4 at once | 25.0 s (3.2×) |",
		"| first run, 30ms, containerd store: times as fast as the script | ≥ 5 | 4.00 | no |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
	for _, unwanted := range []string{"classic", "Without latency", "crane"} {
		if strings.Contains(got, unwanted) {
			t.Errorf("%q, which was not measured, in\n%s", unwanted, got)
		}
	}
}

func TestMarkdownWithoutEngine(t *testing.T) {
	r := newResults()
	r.took(instant, "", nameCrane, 8, 10)
	if got, want := r.Markdown(), "\nWithout latency:\n\n|  | first run |"; !strings.Contains(got, want) {
		t.Errorf("missing %q in\n%s", want, got)
	}
}
