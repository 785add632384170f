package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

var evening = time.Date(2026, time.November, 25, 21, 58, 7, 0, time.UTC)

const (
	workers = 8
	pause   = 900 * time.Millisecond // what a copy takes in addition to its bytes
	speed   = 6e6                    // average bytes per second of each worker
	tagLong = 330 * time.Millisecond // about the resulting time per tag
)

// The failures.
var (
	errDenied      = errors.New("denied: requested access to the resource is denied")
	errUnavailable = errors.New("received unexpected HTTP status: 503 Service Unavailable")
	errArchived    = errors.New("the image is archived in ECR and cannot be pulled: restore it " +
		"(aws ecr update-image-storage-class --target-storage-class STANDARD), then run again")
	errBarred = errors.New("AWS: AccessDeniedException: User: arn:aws:iam::123456789012:user/migration is not authorized to " +
		"perform: ecr:DescribeRepositories: the policy must allow ecr:DescribeRepositories")
	errMissing = errors.New("GitLab does not have it")
	errOther   = errors.New("GitLab has another image under this tag, and no report.json of an earlier run says that it was " +
		"made of this one")
)

const deniedRemedy = "GitLab denies a push when the user's role is below Developer, " +
	"when the path is more than two levels below the project, or when the job that the token belongs to has ended"

type moment struct {
	at    time.Time
	event migrate.Event
}

// night simulates the run, which starts in the evening.
type night struct {
	story
	chance     *rand.Rand
	protected  string
	moments    []moment
	length     time.Duration // about
	end        time.Time     // of the run's time
	pull, push *side
}

// side is the engine with its pull workers, or GitLab with its push workers.
type side struct {
	step transfer.Step
	free [workers]time.Time // when each of them becomes free
	has  map[digest.Digest]bool
}

func newSide(step transfer.Step) *side {
	s := &side{step: step, has: map[digest.Digest]bool{}}
	for i := range s.free {
		s.free[i] = evening.Add(10 * time.Second)
	}
	return s
}

// bring returns the bytes of the image's layers that are not present yet.
func (s *side) bring(p picture) (bytes int64) {
	for _, l := range p.layers {
		if !s.has[l.digest] {
			s.has[l.digest] = true
			bytes += l.bytes
		}
	}
	return bytes
}

// next returns when the first worker of the side is free for an image that is ready at the given time.
func (s *side) next(ready time.Time) time.Time {
	first := slices.MinFunc(s.free[:], time.Time.Compare)
	if ready.After(first) {
		return ready
	}
	return first
}

func newNight(a *account, told story) *night {
	n := &night{
		story: told, chance: a.chance, protected: a.protected, length: time.Duration(a.tags) * tagLong,
		end: evening.Add(1000 * time.Hour), pull: newSide(transfer.StepPull), push: newSide(transfer.StepPush),
	}
	if told.stopped {
		n.end = evening.Add(n.length * 6 / 10)
	}
	for i, p := range a.pictures {
		if told.verification {
			n.compare(i, p)
		} else {
			n.copy(i, p)
		}
	}
	return n
}

// refusal returns why an image cannot arrive.
func (n *night) refusal(p picture) error {
	switch {
	case n.quiet:
		return nil
	case strings.Count(p.repository, "/") > 1:
		return fmt.Errorf(`GitLab takes no image more than 2 levels below its project, and %q has %d: set MIGRATE_NAME_SEPARATOR, `+
			`for example to "-"`, p.repository, 1+strings.Count(p.repository, "/"))
	case n.chance.IntN(250) == 0:
		return errArchived
	}
	return nil
}

// copy processes one image like a migration.
func (n *night) copy(i int, p picture) {
	if err := n.refusal(p); err != nil {
		n.finish(evening.Add(8*time.Second), p, transfer.Refused, err)
		return
	}
	if i%11 == 3 {
		n.finish(evening.Add(10*time.Second+time.Duration(i)*20*time.Millisecond), p, transfer.Present, nil)
		return
	}
	pulled, ok := n.work(n.pull, evening, p, nil)
	if !ok {
		n.finish(n.end, p, transfer.NotStarted, migrate.ErrDeadline)
		return
	}
	err := n.trouble(p, n.push.next(pulled))
	switch pushed, ok := n.work(n.push, pulled, p, err); {
	case !ok:
		n.finish(n.end, p, transfer.NotStarted, migrate.ErrDeadline)
	case err != nil:
		n.finish(pushed, p, transfer.Failed, err)
	case n.classic:
		n.finish(pushed, p, transfer.Changed, nil)
	default:
		n.finish(pushed, p, transfer.Exact, nil)
	}
}

// compare processes one image like a verification.
func (n *night) compare(i int, p picture) {
	at := evening.Add(10*time.Second + time.Duration(i)*12*time.Millisecond)
	ref := target + "/" + p.repository + ":" + p.tags[0]
	switch err := n.refusal(p); {
	case errors.Is(err, errArchived):
		n.finish(at, p, transfer.Missing, err)
	case err != nil:
		n.finish(at, p, transfer.Refused, err)
	case !n.quiet && p.repository == n.protected && strings.HasPrefix(p.tags[0], "1.0.1"):
		n.finish(at, p, transfer.Different, &transfer.StepError{Step: transfer.StepVerify, Ref: ref, Err: errOther})
	case !n.quiet && i%97 == 5:
		n.finish(at, p, transfer.Missing, &transfer.StepError{Step: transfer.StepVerify, Ref: ref, Err: errMissing})
	case i%40 == 7:
		n.finish(at, p, transfer.Changed, nil)
	default:
		n.finish(at, p, transfer.Exact, nil)
	}
	if i%(1+len(p.tags)*50) == 1 {
		n.moments = append(n.moments, moment{at, migrate.PulledBack{}})
	}
}

// trouble returns why the image's push fails, if it does: a rule for protected tags, or an outage of GitLab.
func (n *night) trouble(p picture, at time.Time) error {
	ref := target + "/" + p.repository + ":" + p.tags[0]
	switch out := at.Sub(evening.Add(n.length * 7 / 10)); {
	case n.quiet:
		return nil
	case p.repository == n.protected && strings.HasPrefix(p.tags[0], "1.0.1"):
		return &transfer.StepError{Step: transfer.StepPush, Ref: ref, Err: errDenied, Remedy: deniedRemedy}
	case out > 0 && out < n.length/25:
		return &transfer.StepError{Step: transfer.StepPush, Ref: ref, Err: errUnavailable}
	}
	return nil
}

// work assigns the image to the first worker that is free, and returns when it is done, if that is in time.
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
		Image: image.Image{Repository: image.Repository{Name: p.repository}, Digest: p.digest, Tags: p.tags},
	}
	takes := time.Duration((0.4 + 1.2*n.chance.Float64()) * float64(pause))
	if err == nil {
		e.Bytes = s.bring(p)
		takes += time.Duration(float64(e.Bytes) / n.speed(began) * float64(time.Second))
	} else {
		takes += 20 * time.Second // of retries
	}
	done = began.Add(takes)
	s.free[worker] = done
	n.moments = append(n.moments, moment{done, e})
	return done, true
}

// speed returns a worker's speed at that time: it varies over the day.
func (n *night) speed(at time.Time) float64 {
	return speed * (1 + 0.45*math.Sin(9*float64(at.Sub(evening))/float64(n.length)))
}

// finish reports the outcome of the image's tags.
func (n *night) finish(at time.Time, p picture, outcome transfer.Outcome, err error) {
	for _, tag := range slices.Sorted(slices.Values(p.tags)) {
		r := transfer.Result{
			Repository: p.repository, Tag: tag, Source: p.digest, Root: p.digest, Bytes: p.bytes(),
			Target: fmt.Sprintf("%s/%s:%s", target, p.repository, tag), Outcome: outcome, Err: err,
		}
		switch outcome {
		case transfer.Changed, transfer.Different:
			r.Pushed = digest.FromString("again " + string(p.digest))
		default:
			if outcome.Arrived() {
				r.Pushed = p.digest
			}
		}
		n.moments = append(n.moments, moment{at, migrate.Finished{Result: r}})
	}
}
