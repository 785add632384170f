package report

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// Saved returns the share of bytes that sharing saves, in percent.
func (p *page) Saved() int {
	if p.Plan.BytesUnshared == 0 {
		return 0
	}
	return int(100 * float64(p.Plan.BytesUnshared-p.Plan.Bytes) / float64(p.Plan.BytesUnshared))
}

// Volumes returns the bars that compare the bytes to move with what they would be if no layers were shared.
func (p *page) Volumes() []measure {
	bars := []measure{
		{Name: "if none were shared", Bytes: p.Plan.BytesUnshared},
		{Name: "each of them once", Bytes: p.Plan.Bytes},
	}
	if !p.Verification {
		bars = append(bars, measure{Name: "pulled by this run", Bytes: p.Pulled})
	}
	return scaled(bars)
}

// BySize returns the bars for layers by size.
func (p *page) BySize() []measure {
	edge := func(n int64) string { return strings.Replace(humanize.Bytes(uint64(n)), ".0 ", " ", 1) }
	return measuresOf(p.Plan.BySize, func(from, to int64) string {
		switch {
		case from == 0:
			return "less than " + edge(to)
		case to == 0:
			return edge(from) + " and more"
		}
		return edge(from) + " to " + edge(to)
	})
}

// ByUse returns the bars for layers by the number of images that use them.
func (p *page) ByUse() []measure {
	return measuresOf(p.Plan.ByUse, func(from, to int64) string {
		switch {
		case from == 1:
			return "1 image"
		case to == 0:
			return humanize.Comma(from) + " images and more"
		}
		return fmt.Sprintf("%s to %s images", humanize.Comma(from), humanize.Comma(to-1))
	})
}

// measure is a labeled number with its bar length, in percent of the longest.
type measure struct {
	Name  string
	Count int
	Bytes int64
	Width float64
}

// measuresOf returns the bars for all classes, without empty ones at either end. name labels a class by its lower bound
// and its exclusive upper bound, which is 0 for the last class.
func measuresOf(classes []plan.BlobClass, name func(from, to int64) string) []measure {
	var bars []measure
	last := 0
	for i, class := range classes {
		if class.Blobs == 0 && len(bars) == 0 {
			continue
		}
		to := int64(0)
		if i+1 < len(classes) {
			to = classes[i+1].From
		}
		bars = append(bars, measure{Name: name(class.From, to), Count: class.Blobs, Bytes: class.Bytes})
		if class.Blobs > 0 {
			last = len(bars)
		}
	}
	return scaled(bars[:last])
}

func scaled(bars []measure) []measure {
	whole := int64(1)
	for _, b := range bars {
		whole = max(whole, b.Bytes)
	}
	for i := range bars {
		bars[i].Width = rounded(100 * float64(bars[i].Bytes) / float64(whole))
	}
	return bars
}
