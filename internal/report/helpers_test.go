package report

import (
	"os"
	"testing"
	"testing/synctest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/record"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

var about = record.About{Program: "ecr2gitlab 1.2.3", Target: target}

// openIn opens a record that writes all pages.
func openIn(t *testing.T, dir string, about record.About) *record.Record {
	t.Helper()
	r, err := record.Open(dir, about, Pages, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// runWith records a run with these results in the folder.
func runWith(t *testing.T, dir string, about record.About, cause error, results ...transfer.Result) {
	t.Helper()
	r := openIn(t, dir, about)
	for _, result := range results {
		r.Observe(migrate.Finished{Result: result})
	}
	if err := r.Close(cause); err != nil {
		t.Fatal(err)
	}
}

// namesIn returns the names of the files in a folder.
func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func synctestRun(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}
