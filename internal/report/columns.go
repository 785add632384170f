package report

import (
	"cmp"
	"slices"
	"strings"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/record"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// columns is the data that the script reads. Every text is stored once, in a list, and referred to by its index.
type columns struct {
	Began    int64              `json:"began"`  // Unix time in milliseconds
	Lasted   int64              `json:"lasted"` // milliseconds
	Outcomes []transfer.Outcome `json:"outcomes"`
	Texts    []string           `json:"texts"`
	Tags     tagColumns         `json:"tags"`
	Lanes    []laneData         `json:"lanes"`
	Spans    spanColumns        `json:"spans"`
}

// tagColumns holds one element per tag in each list.
type tagColumns struct {
	Tag        []string `json:"tag"`
	Repository []int    `json:"repository"`
	Outcome    []int    `json:"outcome"` // index into the list of outcomes
	Target     []int    `json:"target"`  // without the tag
	Source     []int    `json:"source"`
	Platform   []int    `json:"platform"`
	Pushed     []int    `json:"pushed"`
	Bytes      []int64  `json:"bytes"`
	At         []int32  `json:"at"`    // milliseconds since the start of the run
	Cause      []int    `json:"cause"` // the error without the reference
	Error      []int    `json:"error"`
	Remedy     []int    `json:"remedy"`
}

type laneData struct {
	Step   string `json:"step"`
	Worker int    `json:"worker"` // from 1
}

// spanColumns holds one element per span in each list.
type spanColumns struct {
	Lane   []int   `json:"lane"`
	Tag    []int   `json:"tag"` // index of the image's first tag, or -1
	Began  []int32 `json:"began"`
	Lasted []int32 `json:"lasted"`
	Bytes  []int64 `json:"bytes"`
	Well   []int   `json:"well"` // 1 or 0
}

// texts assigns indexes to texts. The empty text is 0.
type texts struct {
	numbers map[string]int
	list    []string
}

func (t *texts) number(text string) int {
	n, known := t.numbers[text]
	if !known {
		n = len(t.list)
		t.numbers[text] = n
		t.list = append(t.list, text)
	}
	return n
}

func newColumns(d record.Document, h *record.History) columns {
	c := columns{Began: h.Began.UnixMilli(), Lasted: h.Lasted.Milliseconds()}
	outcomes := map[transfer.Outcome]int{}
	for i, m := range meanings {
		outcomes[m.outcome] = i
		c.Outcomes = append(c.Outcomes, m.outcome)
	}
	known := texts{numbers: map[string]int{}}
	known.number("")
	first := map[record.ImageKey]int{} // index of an image's first tag
	for i, e := range d.Tags {
		c.Tags.add(e, outcomes[e.Outcome], &known)
		if key := (record.KeyOf(e)); first[key] == 0 {
			first[key] = i + 1
		}
	}
	c.Texts = known.list
	c.Lanes, c.Spans = spansOf(h, first)
	return c
}

func (t *tagColumns) add(e record.Entry, outcome int, known *texts) {
	t.Tag = append(t.Tag, e.Tag)
	t.Repository = append(t.Repository, known.number(e.Repository))
	t.Outcome = append(t.Outcome, outcome)
	t.Target = append(t.Target, known.number(strings.TrimSuffix(e.Reference, ":"+e.Tag)))
	t.Source = append(t.Source, known.number(string(e.SourceDigest)))
	t.Platform = append(t.Platform, known.number(string(e.PlatformDigest)))
	t.Pushed = append(t.Pushed, known.number(string(e.PushedDigest)))
	t.Bytes = append(t.Bytes, e.Bytes)
	t.At = append(t.At, e.At)
	t.Cause = append(t.Cause, known.number(firstLine(e.Cause)))
	t.Error = append(t.Error, known.number(e.Error))
	t.Remedy = append(t.Remedy, known.number(e.Remedy))
}

// newSpanColumns returns columns with capacity for n spans. Empty lists are non-nil, so that they become [] in JSON.
func newSpanColumns(n int) spanColumns {
	return spanColumns{
		Lane: make([]int, 0, n), Tag: make([]int, 0, n), Began: make([]int32, 0, n), Lasted: make([]int32, 0, n),
		Bytes: make([]int64, 0, n), Well: make([]int, 0, n),
	}
}

// spansOf sorts the spans by lane and time: pulling lanes first, then pushing lanes, then images copied alone.
func spansOf(h *record.History, first map[record.ImageKey]int) (lanes []laneData, c spanColumns) {
	order := make([]int, len(h.Lanes))
	for i := range order {
		order[i] = i
	}
	steps := []transfer.Step{transfer.StepPull, transfer.StepPush, ""}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(
			cmp.Compare(slices.Index(steps, h.Lanes[a].Step), slices.Index(steps, h.Lanes[b].Step)),
			cmp.Compare(h.Lanes[a].Worker, h.Lanes[b].Worker),
		)
	})
	place := make([]int, len(order)) // by lane
	lanes, c = make([]laneData, 0, len(order)), newSpanColumns(len(h.Spans))
	for at, i := range order {
		place[i] = at
		lanes = append(lanes, laneData{Step: cmp.Or(string(h.Lanes[i].Step), "alone"), Worker: h.Lanes[i].Worker + 1})
	}
	spans := slices.SortedFunc(slices.Values(h.Spans), func(a, b record.Span) int {
		return cmp.Or(cmp.Compare(place[a.Lane], place[b.Lane]), cmp.Compare(a.Began, b.Began), cmp.Compare(a.Lasted, b.Lasted))
	})
	for _, s := range spans {
		well := 0
		if s.Well {
			well = 1
		}
		c.Lane, c.Tag = append(c.Lane, place[s.Lane]), append(c.Tag, first[s.Image]-1)
		c.Began, c.Lasted = append(c.Began, s.Began), append(c.Lasted, s.Lasted)
		c.Bytes, c.Well = append(c.Bytes, s.Bytes), append(c.Well, well)
	}
	return lanes, c
}
