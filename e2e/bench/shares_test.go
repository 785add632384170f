package bench

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestParseIdle(t *testing.T) {
	tests := map[string]struct {
		stat string
		want time.Duration
		ok   bool
	}{
		"idle, iowait and steal": {"cpu  1 2 4 100 200 8 16 400 32 64\ncpu0 1 1 1 1 1 1 1 1 1 1\n", 7 * time.Second, true},
		"cut short":              {"cpu  1 2 4 100 200", 0, false},
		"no number":              {"cpu  1 2 4 100 x 8 16 400 32 64\n", 0, false},
		"another line":           {"intr 1 2 4 100 200 8 16 400 32 64\n", 0, false},
		"empty":                  {"", 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseIdle(tt.stat)
			if got != tt.want && tt.ok || (err == nil) != tt.ok {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestAddUp(t *testing.T) {
	tests := map[string]struct {
		shares Shares
		rest   float64
		want   bool
	}{
		"everything":        {Shares{Busy: 40, Dockerd: 10, Containerd: 15, Own: 1, Servers: 12, Kernel: 2}, 0, true},
		"a tenth is left":   {Shares{Busy: 40, Dockerd: 36}, 4, true},
		"more is left":      {Shares{Busy: 40, Dockerd: 35}, 5, false},
		"more than all":     {Shares{Busy: 40, Dockerd: 45}, -5, false},
		"a very short run":  {Shares{Busy: 1, Own: 0.5}, 0.5, true},
		"a short run, busy": {Shares{Busy: 4, Own: 3}, 1, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if rest := tt.shares.Rest(); rest != tt.rest || tt.shares.AddUp() != tt.want {
				t.Errorf("rest %v, adds up: %v", rest, tt.shares.AddUp())
			}
			if said := strings.Contains(tt.shares.String(), "does not add up"); said == tt.want {
				t.Errorf("says %s", tt.shares)
			}
		})
	}
}

// TestAdded leaves out threads that have ended, and counts the whole time of those that have taken their IDs.
func TestAdded(t *testing.T) {
	before := map[int]time.Duration{3: 100, 4: 100, 5: 100}
	after := map[int]time.Duration{3: 101, 5: 2, 6: 4}
	if got := added(before, after); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
}

// TestClocks reads the clocks around work in this process, and around that of an engine's stand-in whose containerd has had
// a child.
func TestClocks(t *testing.T) {
	containerd := t.TempDir() + "/containerd"
	if err := os.Symlink("/bin/sh", containerd); err != nil {
		t.Fatal(err)
	}
	const work = "for i in $(seq 100000); do :; done; "
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `"$0" -c '`+work+`sh -c "`+work+`"; echo; read -r _'; :`, containerd)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	before, err := readClocks(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil { // the work is done
		t.Fatal(err)
	}
	for used := time.Duration(0); used < before.servers+3*tick; { // this process's own
		if used, err = ownTime(); err != nil {
			t.Fatal(err)
		}
	}
	after, err := readClocks(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	s := during(before, after, 0)
	if s.Containerd <= 0 || s.Dockerd < 0 || s.Servers <= 0 || s.Busy <= 0 || s.Kernel < 0 {
		t.Errorf("got %s", s)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := readClocks(1 << 30); err == nil {
		t.Error("a process that there is not took time")
	}
}
