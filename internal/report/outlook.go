package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// Outlook writes what a migration to the target would do, given the bytes of the engine's disk that MIGRATE_DISK
// allows.
func (l *Log) Outlook(o migrate.Forecast, target string, disk int64) {
	l.view.begin("plan", "Plan", false)
	defer l.End()
	l.Line("\nPlan of a migration to %s (nothing has been copied):", target)
	l.tagsToCome(o)
	l.newNames(o)
	l.unknownTypes(o.Unknown)
	l.bytesToCome(o, disk)
	l.timeToCome(o)
	l.access(o)
	l.conflicts(o.Conflicts)
	l.causes("Would not be migrated", o.Results)
}

// conflicts lists tags under which GitLab has another image, with both digests, and the rule that applies to them.
func (l *Log) conflicts(results []transfer.Result) {
	if len(results) == 0 {
		return
	}
	l.Line("\nGitLab has another image, which is neither an older one of ECR nor what an earlier run has left (ECR's digest, GitLab's digest):")
	room, left := listRoom, 0
	for _, r := range results {
		line := fmt.Sprintf("  %s\n    %s, %s", r.Name(), r.Source, r.Pushed)
		if room -= len(line); room < 0 {
			left++
			continue
		}
		l.Line("%s", line)
	}
	if left > 0 {
		l.Line("  and %d more; --format json has them all", left)
	}
	l.Line("  A migration replaces such an image only if an engine has made it of ECR's, as the script of GitLab's tutorial does. To find out, the\n" +
		"  engine pulls it. Any other is left alone, as a conflict. With MIGRATE_CONFLICT=overwrite, a migration replaces it. With\n" +
		"  MIGRATE_CONFLICT=keep, it is left alone and does not count as a failure.")
}

func (l *Log) tagsToCome(o migrate.Forecast) {
	refused, failed, unlisted := 0, 0, 0
	for _, r := range o.Results {
		switch {
		case r.Referrers > 0:
		case r.Tag == "":
			unlisted++
		case r.Outcome == transfer.Refused:
			refused++
		default:
			failed++
		}
	}
	l.Line("%9d  tags in ECR, of %d images in %d repositories", o.Listed.Tags, o.Listed.Images, o.Listed.Repositories)
	l.Line("%9d  are at GitLab already, and are left alone", o.Present)
	l.Line("%9d  to copy, of %d images", o.Pending, o.Images)
	for _, more := range []struct {
		count   int
		meaning string
	}{
		{o.Replaced, "of them replace another image that GitLab has under the tag"},
		{len(o.Conflicts), "of them may be somebody else's at GitLab: see below"},
		{o.Referrers, "signatures, SBOMs and other referrers go with them"},
		{o.Left, "referrers stay behind, because MIGRATE_PLATFORM or MIGRATE_LEAVE_OUT leaves out what they refer to"},
		{refused, "are refused: see below"},
		{failed, "could not be planned, or could not be checked at GitLab: see below"},
		{unlisted, "repositories could not be listed: see below"},
	} {
		if more.count > 0 {
			l.Line("%9d  %s", more.count, more.meaning)
		}
	}
}

// newNames lists the repositories that are renamed. report.json has the target of each tag.
func (l *Log) newNames(o migrate.Forecast) {
	const most = 200
	if len(o.Renamed) == 0 {
		return
	}
	l.Line("%9d  repositories are renamed:", len(o.Renamed))
	for _, r := range o.Renamed[:min(most, len(o.Renamed))] {
		l.Line("           %s -> %s", r.Repository, r.Target)
	}
	if more := len(o.Renamed) - most; more > 0 {
		l.Line("           and %d more", more)
	}
}

func (l *Log) bytesToCome(o migrate.Forecast, disk int64) {
	l.Line("%9s  to pull from ECR: %d layers and configs, each once (%s if none were shared)",
		size(o.Fetched), o.Blobs, size(o.Unshared))
	l.Line("%9s  more in GitLab's storage", size(o.Added))
	if o.Largest == "" {
		return
	}
	l.Line("%9s  of the engine's disk for the largest image, %s, compressed and unpacked; MIGRATE_DISK allows %s",
		size(o.LargestBytes), o.Largest, size(disk))
	if o.LargestBytes > disk {
		l.Line("           That exceeds the limit: it is copied on its own, and the disk needs room for it")
	}
}

func (l *Log) timeToCome(o migrate.Forecast) {
	if len(o.Times) == 0 {
		return
	}
	l.Line("\nTime, assuming that each job moves %s per second (--rate), plus %s per tag:",
		size(o.Pace.Bytes), o.Pace.PerTag)
	for _, t := range o.Times {
		l.Line("%9s  %s", roughly(t.Takes), parallel(t.Jobs))
	}
	switch {
	case o.Pace.Within == 0:
	case o.Enough == 0:
		l.Line("No number of jobs copies everything within %s: each run continues where the last one ended", o.Pace.Within)
	default:
		l.Line("Within %s, including the time that a run reserves to end cleanly: %s", o.Pace.Within, parallel(o.Enough))
	}
}

func parallel(jobs int) string {
	if jobs == 1 {
		return "one job"
	}
	return "parallel: " + humanize.Comma(int64(jobs))
}

// roughly formats a duration with the precision of an estimate.
func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return max(d.Round(time.Second), time.Second).String()
	case d < time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return strings.TrimSuffix(d.Round(10*time.Minute).String(), "0s")
}

func (l *Log) access(o migrate.Forecast) {
	l.Line("\nPermissions:")
	for _, d := range o.Denied {
		service, _, _ := strings.Cut(d.Action, ":")
		l.Line("  %s: %s fails for %d repositories: %s", strings.ToUpper(service), d.Action, len(d.Repositories), some(d.Repositories))
		l.Line("    %s", strings.ReplaceAll(d.Err.Error(), "\n", "\n    "))
	}
	if len(o.Denied) == 0 {
		l.Line("  ECR: tokens, listings, manifests, and layers are accessible, except as named below")
	}
	if o.Manifests > 0 {
		l.Line("  ECR: %d manifests were read to find the layers, which ECR records as pulls (lastRecordedPullTime)", o.Manifests)
	}
	for _, bucket := range o.Buckets {
		l.Line("  S3: this job can read ECR's layers from %s; whether the engine can is unknown until it pulls", bucket)
	}
	l.Line("  GitLab: the login works; push permission shows only when pushing, which plan never does")
}

// some returns the first few names of many.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + ", …"
}
