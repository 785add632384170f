package main

import (
	"testing"

	"github.com/opencontainers/go-digest"
)

// A migration and a verification say where each tag was and where it is; what is not there has no line.
func TestReferences(t *testing.T) {
	const header = "ecr_reference,gitlab_reference,ecr_digest,gitlab_digest\n"
	image := digest.FromString(aManifest(1)).String()
	moved := header + sourceHost + "/team/app:1.2," + targetRepo + ":1.2," + image + "," + image + "\n"
	w := newWorld(t, nil)
	w.env["MIGRATE_REPORT_DIR"] = t.TempDir()
	for _, run := range []struct {
		command, want string
		code          int
	}{{"verify", header, exitIncomplete}, {"migrate", moved, exitDone}, {"verify", moved, exitDone}, {"migrate", moved, exitDone}} {
		code, stdout, stderr := w.runAtOnce(t, run.command)
		if got := w.reports(t)["references.csv"]; code != run.code || got != run.want {
			t.Errorf("%s: exit code %d, want %d\n got %s\nwant %s\n%s%s", run.command, code, run.code, got, run.want, stdout, stderr)
		}
	}
}
