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
	r.took(usual, engine.Containerd, nameScript, 0, 80)
	for _, seconds := range []float64{16, 99, 20} {
		r.add(Key{usual, engine.Containerd, nameOurs, 0, First}, Sample{
			Seconds: seconds, PeakDisk: 700e6, PeakMemory: 30 << 20, BytesOut: 101, BytesIn: 100, UniqueBytes: 100,
			Requests: map[request]int{{ECR, "GET manifests"}: int(seconds), {ECR, "HEAD blobs"}: 1, {GitLab, "PUT manifests"}: 5},
			CPU:      Shares{Busy: 50, Dockerd: 12, Containerd: 15.04, Own: 1, Servers: 10, Kernel: 2},
		})
	}
	r.took(usual, "", nameRegsync, 4, 25)
	got := r.Markdown()
	for _, want := range []string{
		"108 tags, 381 MB in blobs",
		"\n\nMedians of 3 rounds. ",
		"Engine with the containerd store: 29.0.0.",
		"\nTLS, round trip of 30 ms, containerd store:\n",
		"| the tutorial's script | 80.0 s | – | – | 1.00 | – | 1.00 | – | – | – |\n",
		"| ecr2gitlab | 20.0 s (4.0×) | – | – | 1.01 | – | 1.00 | – | 700 MB | 30 MiB |\n",
		"| ecr2gitlab: first run | 0 | 0 | 21 | 0 | 0 | 5 | 0 |\n",
		"| ecr2gitlab: first run | 27.0 | 12.0 | 15.0 | 1.0 | 10.0 | 2.0 | 10.0 (does not add up) | 50.0 |\n",
		"| regsync (no engine), 4 at once | 25.0 s (3.2×) |",
		"| first run, tls30, containerd store: times as fast as script | ≥ 5 | 4.00 | no |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
	for _, unwanted := range []string{"classic", "Plain", "crane", "link itself", "HEAD blobs"} {
		if strings.Contains(got, unwanted) {
			t.Errorf("%q, which was not measured, in\n%s", unwanted, got)
		}
	}
}

func TestMarkdownWithoutEngine(t *testing.T) {
	r := newResults()
	r.took(instant, "", nameCrane, 8, 10)
	if got, want := r.Markdown(), "\nPlain HTTP:\n\n|  | first run |"; !strings.Contains(got, want) {
		t.Errorf("missing %q in\n%s", want, got)
	}
}

// TestMarkdownOfLimitedNetwork has the time of the link itself, and on request the kinds of requests.
func TestMarkdownOfLimitedNetwork(t *testing.T) {
	r := newResults()
	r.UniqueBytes, r.details = 375e6, true
	r.add(Key{slow, engine.Containerd, nameOurs, 0, First}, Sample{Seconds: 36, UniqueBytes: 375e6, Requests: map[request]int{
		{GitLab, "PUT manifests"}: 5, {ECR, "HEAD blobs"}: 3, {ECR, "GET manifests"}: 2,
	}})
	r.add(Key{slow, engine.Containerd, nameOurs, 0, Again}, Sample{Seconds: 3, UniqueBytes: 375e6})
	got := r.Markdown()
	for _, want := range []string{
		"\nTLS, round trip of 30 ms, 100 Mbit/s in each direction, containerd store:\n",
		"\nThe link itself takes 30.0 s for",
		"| ECR registry | GET manifests | 2 | 0 |\n| ECR registry | HEAD blobs | 3 | 0 |\n| GitLab registry | PUT manifests | 5 | 0 |\n",
		"time over that of the link itself | ≤ 1.2 | 1.20 | yes |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
}
