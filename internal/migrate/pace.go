package migrate

import "time"

// maxJobs is the most that GitLab takes for parallel.
const maxJobs = 200

// Pace is how fast one job copies: what an estimate of time goes by.
type Pace struct {
	Bytes  int64         // a second, at least 1
	PerTag time.Duration // that a tag takes beside its bytes
}

// Takes is how long so many jobs take side by side: as long as the one that has most to do.
func (o *Outlook) Takes(jobs int, pace Pace) time.Duration {
	longest := time.Duration(0)
	for _, units := range cut(o.work.line, o.work.blobs, jobs) {
		longest = max(longest, o.work.of(tasksOf(units)).at(pace))
	}
	return longest
}

// Jobs is the least number of jobs that copy everything within the time, of which a run keeps the end for what is under
// way; 0 where no number of jobs does.
func (o *Outlook) Jobs(within time.Duration, pace Pace) int {
	now := time.Now()
	usable := DeadlineAt(now.Add(within), now).LastStart.Sub(now)
	if usable <= 0 {
		return 0
	}
	least := max(1, int(o.Takes(1, pace)/usable)) // fewer cannot be enough
	for jobs := least; jobs <= maxJobs; jobs++ {
		if o.Takes(jobs, pace) <= usable {
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

func newWorkload(tasks []*task, blobs *catalog, store Store) workload {
	w := workload{
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
