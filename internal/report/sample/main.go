// Sample writes the report of a night that never was, to look at and to test with:
//
//	go run ./internal/report/sample -tags 20000 FOLDER
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/report"
)

func main() {
	tags := flag.Int("tags", 20000, "how many tags there are")
	stopped := flag.Bool("stopped", false, "the run is out of time before its end")
	flag.Parse()
	if err := write(flag.Arg(0), *tags, *stopped); err != nil {
		fmt.Fprintln(os.Stderr, "sample:", err)
		os.Exit(1)
	}
}

// write tells a record what happened in the night, as a run would.
func write(dir string, tags int, stopped bool) error {
	if dir == "" {
		return errors.New("name the folder")
	}
	a := newAccount(tags)
	n := newNight(a, stopped)
	now := evening
	record, err := report.Open(dir, report.About{
		Program: "ecr2gitlab 1.2.3 (sample)", Target: target, Now: func() time.Time { return now },
	}, report.NewLog(os.Stderr))
	if err != nil {
		return err
	}
	record.Observe(a.planned())
	slices.SortStableFunc(n.moments, func(x, y moment) int { return x.at.Compare(y.at) })
	for _, m := range n.moments {
		now = m.at
		record.Observe(m.event)
	}
	now = now.Add(2 * time.Second)
	if stopped {
		return record.Close(migrate.ErrDeadline)
	}
	return record.Close(nil)
}
