// Sample writes the report of a run that never was, to look at and to test with:
//
//	go run ./internal/testkit/sample -tags 20000 -story stopped FOLDER
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/record"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/report"
)

// story is the kind of run.
type story struct {
	quiet        bool // nothing goes wrong
	barred       bool // it ends before there is a plan
	stopped      bool // the run is out of time before its end
	chosen       bool // it covers part of the registry
	hostile      bool // the registry has hostile names
	classic      bool // the engine has the classic store
	verification bool
}

var stories = map[string]story{
	"night":        {},
	"quiet":        {quiet: true},
	"barred":       {barred: true},
	"stopped":      {stopped: true},
	"chosen":       {quiet: true, chosen: true},
	"hostile":      {hostile: true},
	"classic":      {classic: true},
	"verification": {verification: true},
	"verified":     {verification: true, quiet: true},
}

func main() {
	tags := flag.Int("tags", 20000, "how many tags there are")
	name := flag.String("story", "night", strings.Join(slices.Sorted(maps.Keys(stories)), ", "))
	flag.Parse()
	told, ok := stories[*name]
	if err := write(flag.Arg(0), *tags, told); err != nil || !ok {
		fmt.Fprintln(os.Stderr, "sample:", cmp.Or(err, fmt.Errorf("there is no story %q", *name)))
		os.Exit(1)
	}
}

// write sends the events to a record, as a run would.
func write(dir string, tags int, told story) error {
	if dir == "" {
		return errors.New("name the folder")
	}
	a := newAccount(tags, told)
	n := newNight(a, told)
	now := evening
	rec, err := record.Open(dir, record.About{
		Program: "ecr2gitlab 1.2.3 (sample)", Target: target, Now: func() time.Time { return now },
	}, report.Pages, report.NewLog(os.Stderr).Line)
	if err != nil {
		return err
	}
	if told.barred {
		now = now.Add(3 * time.Second)
		return rec.Close(errBarred)
	}
	for _, event := range a.introduced(told) {
		rec.Observe(event)
	}
	slices.SortStableFunc(n.moments, func(x, y moment) int { return x.at.Compare(y.at) })
	for _, m := range n.moments {
		now = m.at
		rec.Observe(m.event)
	}
	now = now.Add(2 * time.Second)
	if told.stopped {
		return rec.Close(migrate.ErrDeadline)
	}
	return rec.Close(nil)
}
