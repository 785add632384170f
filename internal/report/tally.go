package report

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// tally tracks the progress of a run. It is safe for concurrent use.
type tally struct {
	mu      sync.Mutex
	phase   string // its title
	began   time.Time
	total   int // tags; 0 until there is a plan
	done    int
	copied  int // of those: neither present before nor refused
	moved   migrate.Moved
	news    time.Time // time of the last progress
	pace    pace
	working []migrate.Working // by place; one without a step is free
}

// begin begins a phase of the run.
func (t *tally) begin(phase string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.phase, t.began, t.pace = phase, time.Now(), pace{}
	t.news = t.began
	t.note(t.began)
}

// note records the progress for the pace.
func (t *tally) note(now time.Time) {
	t.pace.note(now, t.moved.Bytes, plan.Weight(t.moved.Bytes, t.copied))
}

// observe updates the progress from the event.
func (t *tally) observe(event migrate.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := event.(type) {
	case migrate.Planned:
		t.total = e.Tags
	case migrate.Comparing:
		t.total = e.Tags
	case migrate.Moved:
		if e != t.moved {
			t.news = time.Now()
		}
		t.moved = e
	case migrate.Working:
		t.works(e)
	case migrate.Finished:
		if !isTag(e.Result) {
			return
		}
		t.done++
		t.news = time.Now()
		if e.Result.Outcome != transfer.Present && e.Result.Outcome != transfer.Refused {
			t.copied++
		}
	}
	t.note(time.Now())
}

// isTag reports whether the result is that of a tag in ECR, as opposed to referrers or a repository.
func isTag(r transfer.Result) bool {
	return r.Referrers == 0 && r.Tag != "" && r.Outcome != transfer.Extra
}

// works records a worker's step at its image's place, so that rows do not move.
func (t *tally) works(e migrate.Working) {
	place := slices.IndexFunc(t.working, func(w migrate.Working) bool {
		return !free(w) && w.Image.Digest == e.Image.Digest && w.Image.Repository.Name == e.Image.Repository.Name
	})
	if place < 0 && !free(e) {
		place = slices.IndexFunc(t.working, free)
	}
	switch {
	case place >= 0:
		t.working[place] = e
	case !free(e):
		t.working = append(t.working, e)
	}
	for n := len(t.working); n > 0 && free(t.working[n-1]); n-- {
		t.working = t.working[:n-1]
	}
}

// free returns the first free place.
func free(w migrate.Working) bool { return w.Step == "" }

// left estimates the remaining time; 0: unknown.
func (t *tally) left() time.Duration {
	rest := plan.Weight(t.moved.Of-t.moved.Bytes, t.total-t.done)
	if _, rate := t.pace.rates(); rate > 0 && rest > 0 && t.pace.span() >= paceKnown {
		return time.Duration(float64(rest) / rate * float64(time.Second))
	}
	return 0
}

// share returns the completed part of the run, from 0 to 1.
func (t *tally) share() float64 {
	done := plan.Weight(t.moved.Bytes, t.done)
	if all := plan.Weight(t.moved.Of, t.total); all > 0 {
		return min(1, float64(done)/float64(all))
	}
	return 0
}

// progress describes the progress in tags, once there is a plan, and the remaining time.
func (t *tally) progress() (count string, parts []string, share float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.total == 0 {
		return "", []string{t.phase, "for " + formatDuration(now.Sub(t.began))}, 0
	}
	t.note(now)
	if t.moved.Of > 0 { // otherwise nothing is moved, as in a verification
		parts = append(parts, amount(t.moved.Bytes, t.moved.Of))
		if bytes, _ := t.pace.rates(); t.pace.span() > 0 {
			parts = append(parts, size(int64(bytes))+"/s")
		}
	}
	if left := t.left(); left > 0 {
		parts = append(parts, formatDuration(left)+" left")
	} else if len(parts) == 0 {
		parts = append(parts, "for "+formatDuration(now.Sub(t.began)))
	}
	return fmt.Sprintf("%d/%d", t.done, t.total), parts, t.share()
}

// standstill reports how long there has been no progress, and what the run is waiting for. It is empty during progress.
func (t *tally) standstill() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	quiet := time.Since(t.news)
	if quiet <= beatPause || t.moved.Of == 0 {
		return ""
	}
	return "nothing has moved for " + formatDuration(quiet) + t.awaited()
}

// awaited describes what the workers are waiting for.
func (t *tally) awaited() string {
	var calls []string
	for _, step := range []struct {
		is    transfer.Step
		words string
	}{{transfer.StepPull, "pulling"}, {migrate.StepExtract, "unpacking"}, {transfer.StepPush, "pushing"}} {
		n := 0
		for _, w := range t.working {
			if w.Step == step.is {
				n++
			}
		}
		if n > 0 {
			calls = append(calls, fmt.Sprintf("%d %s", n, step.words))
		}
	}
	if len(calls) == 0 {
		return ""
	}
	return " (images: " + strings.Join(calls, ", ") + ")"
}

// tags returns the total number of tags.
func (t *tally) tags() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

// count returns the progress after the tag that was just observed: "12/108".
func (t *tally) count() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%d/%d", t.done, t.total)
}

// workers returns the current steps, by place.
func (t *tally) workers() []migrate.Working {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.working)
}

// size formats a number of bytes.
func size(bytes int64) string { return humanize.Bytes(uint64(max(0, bytes))) }

// amount gives the unit once if both numbers have the same: "1.2 of 3.8 GB".
func amount(bytes, of int64) string {
	part, whole := size(bytes), size(of)
	number, unit, _ := strings.Cut(part, " ")
	if strings.HasSuffix(whole, " "+unit) {
		part = number
	}
	return part + " of " + whole
}

// formatDuration formats a duration: the longer it is, the lower the precision.
func formatDuration(d time.Duration) string {
	exact := time.Second
	switch {
	case d >= 10*time.Hour:
		exact = time.Hour
	case d >= 10*time.Minute:
		exact = time.Minute
	case d >= time.Minute:
		exact = 10 * time.Second
	}
	text := max(d.Round(exact), time.Second).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

const (
	paceWindow = time.Minute     // how far back the samples reach
	paceStep   = time.Second     // minimum time between two samples
	paceKnown  = 5 * time.Second // time span needed for a forecast
)

// pace measures the recent speed.
type pace struct{ samples []sample }

type sample struct {
	at            time.Time
	bytes, weight int64
}

// note records the current progress.
func (p *pace) note(now time.Time, bytes, weight int64) {
	if n := len(p.samples); n > 0 && now.Sub(p.samples[n-1].at) < paceStep {
		return
	}
	p.samples = append(p.samples, sample{now, bytes, weight})
	for len(p.samples) > 2 && now.Sub(p.samples[1].at) >= paceWindow {
		p.samples = p.samples[1:]
	}
}

// span returns the time that the rates cover.
func (p *pace) span() time.Duration {
	if len(p.samples) < 2 {
		return 0
	}
	return p.samples[len(p.samples)-1].at.Sub(p.samples[0].at)
}

// rates returns the rates per second, once the samples span some time.
func (p *pace) rates() (bytes, weight float64) {
	seconds := p.span().Seconds()
	if seconds == 0 {
		return 0, 0
	}
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	return max(0, float64(last.bytes-first.bytes)/seconds), max(0, float64(last.weight-first.weight)/seconds)
}
