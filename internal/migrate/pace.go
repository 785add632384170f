package migrate

import (
	"cmp"
	"time"
)

// maxJobs is the most that GitLab takes for parallel.
const maxJobs = 200

// Pace is what an estimate of time goes by.
type Pace struct {
	Bytes  int64         // that one job moves a second; 0: as on the project's own benchmark
	PerTag time.Duration // that a tag takes beside its bytes; 0: likewise
	Within time.Duration // the time for which a number of jobs is to be found; 0: none is
}

// What the benchmark measures on two processors that carry both registries, too, with round trips of 30 ms: of 381 MB
// under 108 tags, 30 s with the containerd store, and 100 s with the classic one, which unpacks and packs all of it.
const (
	usualPerTag         = 100 * time.Millisecond
	usualRate           = 20e6
	usualRateForClassic = 4e6
)

// on is the pace of an engine with that store.
func (p Pace) on(store Store) Pace {
	rate := int64(usualRate)
	if store == ClassicStore {
		rate = usualRateForClassic
	}
	p.Bytes, p.PerTag = cmp.Or(p.Bytes, rate), cmp.Or(p.PerTag, usualPerTag)
	return p
}

// JobTime is how long so many jobs take side by side, an estimate.
type JobTime struct {
	Jobs  int
	Takes time.Duration
}

// times are those of 1, 2, 4 … jobs, as long as more of them help.
func (w *workload) times(pace Pace) []JobTime {
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

// takes is how long the one of the jobs needs that has most to do.
func (w *workload) takes(jobs int, pace Pace) time.Duration {
	longest := time.Duration(0)
	for _, units := range cut(w.line, w.blobs, jobs) {
		longest = max(longest, w.of(tasksOf(units)).at(pace))
	}
	return longest
}

// enough is the least number of jobs that copy everything within the time, of which a run keeps the end for what is
// under way; 0 where no number of jobs does.
func (w *workload) enough(pace Pace) int {
	now := time.Now()
	usable := DeadlineAt(now.Add(pace.Within), now).LastStart.Sub(now)
	if usable <= 0 {
		return 0
	}
	least := max(1, int(w.takes(1, pace)/usable)) // fewer cannot be enough
	for jobs := least; jobs <= maxJobs; jobs++ {
		if w.takes(jobs, pace) <= usable {
			return jobs
		}
	}
	return 0
}

// workload tells what is to be done for images of a plan of which it is known what the target has.
type workload struct {
	line      []unit
	blobs     *catalog
	delivered map[string]map[blobID]bool // by target repository: blobs that need not be fetched
	counted   []int32                    // by blob: the last count that it was in
	count     int32
}

// load is what one job has to do.
type load struct {
	tags, blobs int
	bytes       int64
}

func (l load) at(pace Pace) time.Duration {
	moving := time.Duration(float64(l.bytes) / float64(pace.Bytes) * float64(time.Second))
	return moving + time.Duration(l.tags)*pace.PerTag
}

func newWorkload(tasks []*task, blobs *catalog, store Store) *workload {
	w := &workload{
		line: lineUp(tasks, blobs), blobs: blobs, delivered: map[string]map[blobID]bool{}, counted: make([]int32, blobs.len()),
	}
	for _, t := range tasks {
		if len(t.present) == 0 || store == ClassicStore { // which pushes what it has pulled alone
			continue
		}
		if w.delivered[t.target] == nil {
			w.delivered[t.target] = map[blobID]bool{}
		}
		for _, id := range t.blobs {
			w.delivered[t.target][id] = true
		}
	}
	return w
}

// of counts what is to be done for the images, each blob once.
func (w *workload) of(tasks []*task) load {
	w.count++
	var sum load
	for _, t := range tasks {
		if sum.tags += len(t.pending); len(t.pending) == 0 {
			continue
		}
		for _, id := range t.blobs {
			if w.counted[id] == w.count || w.delivered[t.target][id] {
				continue
			}
			w.counted[id] = w.count
			sum.blobs++
			sum.bytes += w.blobs.size(id)
		}
	}
	return sum
}

// tasksOf are the tasks of the units, in their order.
func tasksOf(units []unit) []*task {
	var tasks []*task
	for _, u := range units {
		tasks = append(tasks, u.tasks...)
	}
	return tasks
}
