package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// module writes a module with one program, and returns its folder.
func module(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.com/m\n\ngo 1.26\n", "main.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBuild(t *testing.T) {
	var out strings.Builder
	dir := module(t, "package main\n\nfunc main() {}\n")
	p := Program{Name: "it", Dir: dir, Command: []string{"build", "-o", "it"}, Packages: []string{"."}, Out: &out}
	if err := p.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "it")); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(out.String(), "it: built in ") {
		t.Errorf("it said %q", out.String())
	}
}

func TestBuildFails(t *testing.T) {
	p := Program{Name: "it", Dir: module(t, "package main\n\nfunc main() { missing() }\n"), Command: []string{"build"}, Packages: []string{"."}}
	if err := p.Build(t.Context()); err == nil || !strings.Contains(err.Error(), "undefined: missing") {
		t.Errorf("error %v", err)
	}
}

func TestProgress(t *testing.T) {
	cache := t.TempDir()
	began := time.Now()
	for name, age := range map[string]time.Duration{"old.zip": -time.Hour, "new.zip": time.Minute, "new.mod": time.Minute} {
		path := filepath.Join(cache, name)
		if err := os.WriteFile(path, make([]byte, 3e6), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, began.Add(age), began.Add(age)); err != nil {
			t.Fatal(err)
		}
	}
	state := progress{total: 12, began: began, cache: cache}
	for _, step := range []struct{ line, want string }{
		{"go: finding module", ""},
		{"go: downloading example.com/a v1.2.3", "1 modules to download, 3 MB so far"},
		{"example.com/a", "1 of 12 packages built"},
		{"# example.com/b", "1 of 12 packages built"},
		{"vendor/golang.org/x/sys", "2 of 12 packages built"},
	} {
		state.add(step.line)
		if got := state.String(); got != step.want {
			t.Errorf("after %q: %q, want %q", step.line, got, step.want)
		}
	}
	if want := "go: finding module\n# example.com/b"; state.tail() != want {
		t.Errorf("the rest is %q, want %q", state.tail(), want)
	}
}

func TestWithinModule(t *testing.T) {
	got := withinModule("example.com/m/v2@v2.0.1", []string{"example.com/m/v2/cmd/x@v2.0.1", "example.com/m/v2@v2.0.1"})
	if len(got) != 2 || got[0] != "./cmd/x" || got[1] != "." {
		t.Errorf("%q", got)
	}
}
