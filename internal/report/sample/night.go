package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
)

var evening = time.Date(2026, time.November, 25, 21, 58, 7, 0, time.UTC)

const (
	workers = 8
	pause   = 900 * time.Millisecond // what a copy costs beside its bytes
	speed   = 14e6                   // bytes a second, of each worker
)

// What goes wrong in the night.
var (
	errDenied      = errors.New("denied: requested access to the resource is denied")
	errUnavailable = errors.New("received unexpected HTTP status: 503 Service Unavailable")
	errArchived    = errors.New("the image is archived in ECR and cannot be pulled: restore it " +
		"(aws ecr update-image-storage-class --target-storage-class STANDARD), then run again")
	errDeep = errors.New("GitLab finds images at most two levels below the project: set MIGRATE_NAME_SEPARATOR")
)

type moment struct {
	at    time.Time
	event migrate.Event
}

// night is what happens from the evening on.
type night struct {
	chance     *rand.Rand
	protected  string
	moments    []moment
	end        time.Time // of the run's time
	pull, push *side
}

// side is the engine, with those who pull, or GitLab, with those who push.
type side struct {
	step migrate.Step
	free [workers]time.Time // when each of them is
	has  map[digest.Digest]bool
}

func newSide(step migrate.Step) *side {
	s := &side{step: step, has: map[digest.Digest]bool{}}
	for i := range s.free {
		s.free[i] = evening.Add(40 * time.Second)
	}
	return s
}

// bring returns the bytes of the image's layers that are not there yet.
func (s *side) bring(p picture) (bytes int64) {
	for _, l := range p.layers {
		if !s.has[l.digest] {
			s.has[l.digest] = true
			bytes += l.bytes
		}
	}
	return bytes
}

func newNight(a *account, stopped bool) *night {
	n := &night{chance: a.chance, protected: a.protected, end: evening.Add(1000 * time.Hour), pull: newSide(migrate.StepPull), push: newSide(migrate.StepPush)}
	if stopped {
		n.end = evening.Add(90 * time.Minute)
	}
	for i, p := range a.pictures {
		n.copy(i, p)
	}
	return n
}

// copy does with one image what a run would.
func (n *night) copy(i int, p picture) {
	switch {
	case n.chance.IntN(250) == 0:
		n.finish(evening.Add(30*time.Second), p, migrate.Refused, errArchived)
		return
	case strings.Count(p.repository, "/") > 1:
		n.finish(evening.Add(30*time.Second), p, migrate.Refused, errDeep)
		return
	case i%11 == 3:
		n.finish(evening.Add(time.Minute+time.Duration(i)*20*time.Millisecond), p, migrate.Present, nil)
		return
	}
	pulled, ok := n.work(n.pull, evening, p, nil)
	if !ok {
		n.finish(n.end, p, migrate.NotStarted, migrate.ErrDeadline)
		return
	}
	err := n.trouble(p, pulled)
	if pushed, ok := n.work(n.push, pulled, p, err); !ok {
		n.finish(n.end, p, migrate.NotStarted, migrate.ErrDeadline)
	} else if err != nil {
		n.finish(pushed, p, migrate.Failed, err)
	} else {
		n.finish(pushed, p, migrate.Exact, nil)
	}
}

// trouble is why the image's push fails, if it does: a rule for protected tags, and half an hour without GitLab.
func (n *night) trouble(p picture, at time.Time) error {
	ref := target + "/" + p.repository + ":" + p.tags[0]
	if p.repository == n.protected && strings.HasPrefix(p.tags[0], "1.0.") {
		return &migrate.StepError{Step: migrate.StepPush, Ref: ref, Err: errDenied,
			Remedy: "GitLab denies a push when the user's role is below Developer, when the tag is protected or immutable, when " +
				"the path is more than two levels below the project, or when the job is over that the token belongs to"}
	}
	if out := at.Sub(evening.Add(70 * time.Minute)); out > 0 && out < 9*time.Minute {
		return &migrate.StepError{Step: migrate.StepPush, Ref: ref, Err: errUnavailable}
	}
	return nil
}

// work gives the image to the first worker that is free, and returns when it is done, if that is in time.
func (n *night) work(s *side, ready time.Time, p picture, err error) (done time.Time, inTime bool) {
	worker := 0
	for i, t := range s.free {
		if t.Before(s.free[worker]) {
			worker = i
		}
	}
	began := s.free[worker]
	if ready.After(began) {
		began = ready
	}
	if began.After(n.end) {
		return time.Time{}, false
	}
	e := migrate.Worked{
		Step: s.step, Worker: worker, Began: began, Well: err == nil,
		Image: migrate.Image{Repository: migrate.Repository{Name: p.repository}, Digest: p.digest, Tags: p.tags},
	}
	lasts := time.Duration((0.4 + 1.2*n.chance.Float64()) * float64(pause))
	if err == nil {
		e.Bytes = s.bring(p)
		lasts += time.Duration(float64(e.Bytes) / speed * float64(time.Second))
	} else {
		lasts += 20 * time.Second // of retries
	}
	done = began.Add(lasts)
	s.free[worker] = done
	n.moments = append(n.moments, moment{done, e})
	return done, true
}

// finish tells what became of the image's tags.
func (n *night) finish(at time.Time, p picture, outcome migrate.Outcome, err error) {
	for _, tag := range slices.Sorted(slices.Values(p.tags)) {
		r := migrate.Result{
			Repository: p.repository, Tag: tag, Source: p.digest, Root: p.digest, Bytes: p.bytes(),
			Target: fmt.Sprintf("%s/%s:%s", target, p.repository, tag), Outcome: outcome, Err: err,
		}
		if outcome.Arrived() {
			r.Pushed = p.digest
		}
		n.moments = append(n.moments, moment{at, migrate.Finished{Result: r}})
	}
}
