package plan

import (
	"cmp"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// maxJobs is GitLab's maximum for parallel.
const maxJobs = 200

// Pace is the basis of time estimates.
type Pace struct {
	Bytes  int64         // per second and job; 0: as in the project's own benchmark
	PerTag time.Duration // in addition to the time for its bytes; 0: likewise
	Within time.Duration // the time limit for which to find a number of jobs; 0: none
}

// A little slower than the benchmark, in which 108 tags with 364 MB take 26 s with the containerd store, and 76 s with the classic
// store, which unpacks and compresses everything. It runs on two processors that run both registries, too, with round trips of
// 30 ms.
const (
	usualPerTag         = 100 * time.Millisecond
	usualRate           = 20e6
	usualRateForClassic = 4e6
)

// GitLab.com allows 2,000 requests a minute from an address, and a tag takes some thirty
// (https://docs.gitlab.com/user/gitlab_com/#gitlabcom-specific-rate-limits). With that limit, 280 tags of small images took 261 s
// in the test world.
const (
	gitlabCom     = "registry.gitlab.com"
	limitedPerTag = 900 * time.Millisecond
)

// PerTagAt returns the time per tag at a target registry that limits requests, or 0 for any other.
func PerTagAt(host string) time.Duration {
	if host == gitlabCom {
		return limitedPerTag
	}
	return 0
}

// On returns the pace with defaults for an engine with the store.
func (p Pace) On(store image.Store) Pace {
	rate := int64(usualRate)
	if store == image.ClassicStore {
		rate = usualRateForClassic
	}
	p.Bytes, p.PerTag = cmp.Or(p.Bytes, rate), cmp.Or(p.PerTag, usualPerTag)
	return p
}

// JobTime is the estimated time of a number of parallel jobs.
type JobTime struct {
	Jobs  int
	Takes time.Duration
}

// Times returns the times of 1, 2, 4 … jobs, as long as more jobs help.
func (w *Workload) Times(pace Pace) []JobTime {
	var times []JobTime
	for jobs := 1; jobs <= maxJobs; jobs *= 2 {
		takes := w.takes(jobs, pace)
		if jobs > 1 && takes > times[len(times)-1].Takes/10*9 {
			break
		}
		times = append(times, JobTime{Jobs: jobs, Takes: takes})
	}
	return times
}

// takes returns the time of the job that takes longest.
func (w *Workload) takes(jobs int, pace Pace) time.Duration {
	longest := time.Duration(0)
	for _, units := range cut(w.line, jobs) {
		longest = max(longest, w.Of(itemsOf(units)).at(pace))
	}
	return longest
}

// Enough returns the smallest number of jobs that finishes within the time, or 0 if there is none.
func (w *Workload) Enough(pace Pace, within time.Duration) int {
	if within <= 0 {
		return 0
	}
	least := max(1, int(w.takes(1, pace)/within)) // fewer jobs cannot be enough
	for jobs := least; jobs <= maxJobs; jobs++ {
		if w.takes(jobs, pace) <= within {
			return jobs
		}
	}
	return 0
}

// TargetState describes what the target already has of an item.
type TargetState struct {
	Pending int  // tags still to be copied
	Present bool // one of its tags exists, and therefore all of its blobs do
}

// Workload measures what is left to copy of a plan.
type Workload struct {
	line      []unit
	blobs     *Catalog
	found     map[*Item]TargetState
	delivered map[string]map[BlobID]bool // by target repository: blobs that need not be pulled
	counted   []int32                    // by blob: the last count that includes it
	count     int32
}

// load is the work of one job.
type load struct {
	Tags, Blobs int
	Bytes       int64
}

func (l load) at(pace Pace) time.Duration {
	moving := time.Duration(float64(l.Bytes) / float64(pace.Bytes) * float64(time.Second))
	return moving + time.Duration(l.Tags)*pace.PerTag
}

// NewWorkload returns the work that remains for the items. target describes what the target already has of each.
func NewWorkload(items []*Item, target map[*Item]TargetState, blobs *Catalog, store image.Store) *Workload {
	w := &Workload{
		line: lineUp(items, blobs), blobs: blobs, found: target, delivered: map[string]map[BlobID]bool{}, counted: make([]int32, blobs.Len()),
	}
	for _, i := range items {
		if !target[i].Present || store == image.ClassicStore { // which can push only what it has pulled
			continue
		}
		if w.delivered[i.Target] == nil {
			w.delivered[i.Target] = map[BlobID]bool{}
		}
		for _, id := range i.Blobs {
			w.delivered[i.Target][id] = true
		}
	}
	return w
}

// Of returns the work on the items, with each blob counted once.
func (w *Workload) Of(items []*Item) load {
	w.count++
	var sum load
	for _, i := range items {
		pending := w.found[i].Pending
		if sum.Tags += pending; pending == 0 {
			continue
		}
		for _, id := range i.Blobs {
			if w.counted[id] == w.count || w.delivered[i.Target][id] {
				continue
			}
			w.counted[id] = w.count
			sum.Blobs++
			sum.Bytes += w.blobs.Size(id)
		}
	}
	return sum
}

// itemsOf returns the items of the units in order.
func itemsOf(units []unit) []*Item {
	var items []*Item
	for _, u := range units {
		items = append(items, u.items...)
	}
	return items
}
