package report

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

func TestOutlook(t *testing.T) {
	listed := migrate.Listed{Tags: 108, Images: 100, Repositories: 12}
	moving := migrate.Forecast{
		Listed: listed, Present: 40, Pending: 63, Images: 60, Blobs: 207, Fetched: 381e6, Unshared: 3.8e9, Added: 380e6,
		Largest: "team/app:1.2", LargestBytes: 1.2e9, Manifests: 140, Buckets: []string{"bucket.example"},
		Times:   []plan.JobTime{{Jobs: 1, Takes: 200 * time.Minute}, {Jobs: 2, Takes: 100*time.Minute + 31*time.Second}, {Jobs: 4, Takes: 59*time.Minute + 20*time.Second}},
		Renamed: []migrate.Renaming{{Repository: "a/b/c", Target: target + "/a/b-c"}},
	}
	troubled := moving
	troubled.Manifests, troubled.Buckets, troubled.Renamed = 0, nil, nil
	troubled.Replaced, troubled.Referrers, troubled.Left = 3, 2, 5
	troubled.Conflicts = []transfer.Result{tag("5", transfer.Conflict, errors.New("another"))}
	troubled.Results = []transfer.Result{
		tag("1", transfer.Refused, errors.New("archived")),
		tag("2", transfer.Refused, errors.New("archived")),
		tag("3", transfer.Failed, stepError(transfer.StepVerify, target+"/team/app:3", "denied", "GitLab denies reading")),
		{Repository: "broken", Outcome: transfer.Failed, Err: stepError(transfer.StepList, "broken", "no\n  must allow ecr:DescribeImages", "")},
		referrers(2, transfer.Refused, errors.New("classic")),
	}
	troubled.Denied = []migrate.Denial{{
		Action: "ecr:GetDownloadUrlForLayer", Repositories: []string{"a", "b", "c", "d", "e", "f"}, Err: errors.New("cannot get a layer of a: no\n  must allow it"),
	}}
	headline := "Plan of a migration to " + target + " (nothing has been copied):"
	for _, test := range []struct {
		name    string
		outlook migrate.Forecast
		disk    int64
		within  time.Duration
		enough  int
		want    []string
	}{
		{"nothing to do", migrate.Forecast{Listed: listed, Present: 108}, 15e9, time.Hour, 1, []string{
			headline,
			"      108  tags in ECR, of 100 images in 12 repositories",
			"      108  are at GitLab already, and are left alone",
			"        0  to copy, of 0 images",
			"      0 B  to pull from ECR: 0 layers and configs, each once (0 B if none were shared)",
			"      0 B  more in GitLab's storage",
			"",
			"Permissions:",
			"  ECR: tokens, listings, manifests, and layers are accessible, except as named below",
			"  GitLab: the login works; push permission shows only when pushing, which plan never does",
		}},
		{"all well", moving, 15e9, time.Hour, 4, []string{
			headline,
			"      108  tags in ECR, of 100 images in 12 repositories",
			"       40  are at GitLab already, and are left alone",
			"       63  to copy, of 60 images",
			"        1  repositories are renamed:",
			"           a/b/c -> " + target + "/a/b-c",
			"   381 MB  to pull from ECR: 207 layers and configs, each once (3.8 GB if none were shared)",
			"   380 MB  more in GitLab's storage",
			"   1.2 GB  of the engine's disk for the largest image, team/app:1.2, compressed and unpacked; MIGRATE_DISK allows 15 GB",
			"",
			"Time, assuming that each job moves 20 MB per second (--rate), plus 100ms per tag:",
			"    3h20m  one job",
			"    1h40m  parallel: 2",
			"      59m  parallel: 4",
			"Within 1h0m0s, including the time that a run reserves to end cleanly: parallel: 4",
			"",
			"Permissions:",
			"  ECR: tokens, listings, manifests, and layers are accessible, except as named below",
			"  ECR: 140 manifests were read to find the layers, which ECR records as pulls (lastRecordedPullTime)",
			"  S3: this job can read ECR's layers from bucket.example; whether the engine can is unknown until it pulls",
			"  GitLab: the login works; push permission shows only when pushing, which plan never does",
		}},
		{"troubles", troubled, 1e9, time.Minute, 0, []string{
			headline,
			"      108  tags in ECR, of 100 images in 12 repositories",
			"       40  are at GitLab already, and are left alone",
			"       63  to copy, of 60 images",
			"        3  of them replace another image that GitLab has under the tag",
			"        1  of them may be somebody else's at GitLab: see below",
			"        2  signatures, SBOMs and other referrers go with them",
			"        5  referrers stay behind, because MIGRATE_PLATFORM or MIGRATE_LEAVE_OUT leaves out what they refer to",
			"        2  are refused: see below",
			"        1  could not be planned, or could not be checked at GitLab: see below",
			"        1  repositories could not be listed: see below",
			"   381 MB  to pull from ECR: 207 layers and configs, each once (3.8 GB if none were shared)",
			"   380 MB  more in GitLab's storage",
			"   1.2 GB  of the engine's disk for the largest image, team/app:1.2, compressed and unpacked; MIGRATE_DISK allows 1.0 GB",
			"           That exceeds the limit: it is copied on its own, and the disk needs room for it",
			"",
			"Time, assuming that each job moves 20 MB per second (--rate), plus 100ms per tag:",
			"    3h20m  one job",
			"    1h40m  parallel: 2",
			"      59m  parallel: 4",
			"No number of jobs copies everything within 1m0s: each run continues where the last one ended",
			"",
			"Permissions:",
			"  ECR: ecr:GetDownloadUrlForLayer fails for 6 repositories: a, b, c, d, e, …",
			"    cannot get a layer of a: no",
			"      must allow it",
			"  GitLab: the login works; push permission shows only when pushing, which plan never does",
			"",
			"GitLab has another image, which is neither an older one of ECR nor what an earlier run has left (ECR's digest, GitLab's digest):",
			"  team/app:5",
			"    " + source.String() + ", " + pushed.String(),
			"  A migration replaces such an image only if an engine has made it of ECR's, as the script of GitLab's tutorial does. To find out, the",
			"  engine pulls it. Any other is left alone, as a conflict. With MIGRATE_CONFLICT=overwrite, a migration replaces it. With",
			"  MIGRATE_CONFLICT=keep, it is left alone and does not count as a failure.",
			"",
			"Would not be migrated:",
			"  team/app:1",
			"  team/app:2",
			"    archived",
			"  team/app:3",
			"    verify " + target + "/team/app:3: denied",
			"    GitLab denies reading",
			"  broken",
			"    list broken: no",
			"      must allow ecr:DescribeImages",
			"  team/app@" + pushed.String() + " (its referrers: 2)",
			"    classic",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			test.outlook.Pace = plan.Pace{Bytes: 20e6, PerTag: 100 * time.Millisecond, Within: test.within}
			test.outlook.Enough = test.enough
			NewLog(&out).Outlook(test.outlook, target, test.disk)
			expect(t, out.String(), append([]string{""}, test.want...)...)
		})
	}
}

func TestRoughly(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1s", 100 * time.Millisecond: "1s", 59 * time.Second: "59s", 90 * time.Second: "2m", 59 * time.Minute: "59m",
		time.Hour: "1h0m", 27*time.Hour + 34*time.Minute: "27h30m",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}
