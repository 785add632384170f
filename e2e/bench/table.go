package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// title is the phase's title in a table header.
func (p Phase) title() string {
	return map[Phase]string{First: "first run", Again: "run again", Added: "one new tag in each repository"}[p]
}

// labels are the contenders' names in tables, in order.
func labels() [][2]string {
	return [][2]string{
		{nameScript, "the tutorial's script"},
		{nameScript8, "eight of its loops at once"},
		{nameOurs, "ecr2gitlab"},
		{nameEmbedded, "ecr2gitlab, containerd inside dockerd"},
		{nameDisk, "ecr2gitlab with a disk budget"},
		{nameCrane, "crane (no engine)"},
		{nameRegsync, "regsync (no engine)"},
	}
}

// Markdown returns all tables.
func (r *Results) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d tags, %.0f MB in blobs, each counted once. %s.", r.Tags, float64(r.UniqueBytes)/1e6, r.Machine)
	for _, kind := range engine.Kinds() {
		if version := r.Engines[kind]; version != "" {
			fmt.Fprintf(&b, " Engine with the %s store: %s.", kind, version)
		}
	}
	fmt.Fprintf(&b, "\n\n%s\n", r.notes())
	for _, network := range r.networks() {
		for _, kind := range r.kinds(network) {
			b.WriteString(r.tables(network, kind))
		}
	}
	b.WriteString(r.targetTable())
	return b.String()
}

// notes explain the tables, and the differences between the contenders.
func (r *Results) notes() string {
	return fmt.Sprintf("Medians of %d rounds. In brackets: how many times as long the script takes. "+
		"Out of ECR and into GitLab: bytes of blobs over those of the first run's unique blobs, or of what the new tags add. "+
		"Disk and memory are those of the first run. Requests and processor seconds are those of the median run. "+
		"The script and ecr2gitlab have their engines started as the job in their own documentation does, ecr2gitlab's with `%s`. "+
		"Crane and regsync are told the tags; theirs is the best of several at once, by the first run of the first round.",
		r.Rounds, strings.Join(shippedArgs(), " "))
}

// networks returns the measured networks: those with TLS first, and of these, the unlimited ones.
func (r *Results) networks() []Network {
	var list []Network
	for key := range r.samples {
		if !slices.Contains(list, key.Network) {
			list = append(list, key.Network)
		}
	}
	slices.SortFunc(list, func(a, b Network) int {
		switch {
		case a.TLS && !b.TLS:
			return -1
		case b.TLS && !a.TLS:
			return 1
		}
		return cmp.Or(cmp.Compare(b.RoundTrip, a.RoundTrip), cmp.Compare(a.Rate, b.Rate))
	})
	return list
}

// kinds returns the kinds of engines that were measured, or the empty kind if there were only daemonless tools.
func (r *Results) kinds(network Network) []engine.Kind {
	measured := map[engine.Kind]bool{}
	for key := range r.samples {
		measured[key.Kind] = measured[key.Kind] || key.Network == network
	}
	kinds := slices.DeleteFunc(engine.Kinds(), func(kind engine.Kind) bool { return !measured[kind] })
	if len(kinds) == 0 {
		return []engine.Kind{""}
	}
	return kinds
}

var columns = []string{
	"", First.title(), Again.title(), "one new tag each", "out of ECR: first", "new", "into GitLab: first", "new",
	"peak disk", "peak memory",
}

// tables returns the tables of the contenders that were measured with that kind of engine, or without one.
func (r *Results) tables(network Network, kind engine.Kind) string {
	title := network.title()
	if kind != "" {
		title += fmt.Sprintf(", %s store", kind)
	}
	text := fmt.Sprintf("\n%s:\n\n%s", title, r.table(network, kind))
	if link := network.seconds(r.UniqueBytes); link > 0 {
		text += fmt.Sprintf("\nThe link itself takes %.1f s for the first run's unique blobs.\n", link)
	}
	text += "\nRequests:\n\n" + r.requestTable(network, kind) + "\nProcessor seconds:\n\n" + r.shareTable(network, kind)
	if r.details {
		text += "\nRequests in detail:\n\n" + r.detailTable(network, kind)
	}
	return text
}

// table has a row for each contender.
func (r *Results) table(network Network, kind engine.Kind) string {
	var rows [][]string
	for _, label := range labels() {
		if len(r.of(network, kind, label[0], First)) > 0 {
			rows = append(rows, r.row(network, kind, label[0]))
		}
	}
	return markdown(columns, rows)
}

func (r *Results) row(network Network, kind engine.Kind, contender string) []string {
	row := []string{r.label(network, contender)}
	for _, phase := range Phases() {
		row = append(row, r.secondsCell(network, kind, contender, phase))
	}
	first, added := r.of(network, kind, contender, First), r.of(network, kind, contender, Added)
	return append(row,
		cell(first, "%.2f", Sample.ratioOut), cell(added, "%.2f", Sample.ratioOut),
		cell(first, "%.2f", Sample.ratioIn), cell(added, "%.2f", Sample.ratioIn),
		cell(first, "%.0f MB", func(s Sample) float64 { return float64(s.PeakDisk) / 1e6 }),
		cell(first, "%.0f MiB", func(s Sample) float64 { return float64(s.PeakMemory) / (1 << 20) }),
	)
}

// label returns the contender's name in tables.
func (r *Results) label(network Network, contender string) string {
	label := ""
	for _, l := range labels() {
		if l[0] == contender {
			label = l[1]
		}
	}
	if parallel := r.best(network, contender); parallel > 0 {
		label = fmt.Sprintf("%s, %d at once", label, parallel)
	}
	return label
}

// secondsCell has the median and, except for the script, how many times as long the script takes.
func (r *Results) secondsCell(network Network, kind engine.Kind, contender string, phase Phase) string {
	own, script := r.seconds(network, kind, contender, phase), r.seconds(network, kind, nameScript, phase)
	switch {
	case own == 0:
		return "–"
	case script == 0 || contender == nameScript:
		return fmt.Sprintf("%.1f s", own)
	}
	return fmt.Sprintf("%.1f s (%.1f×)", own, script/own)
}

// cell has the median, or a dash if there is none.
func cell(samples []Sample, format string, value func(Sample) float64) string {
	m := median(samples, value)
	if m == 0 && !strings.HasPrefix(format, "%.2f") || len(samples) == 0 {
		return "–"
	}
	return fmt.Sprintf(format, m)
}

// markdown returns a table, with the first column left-aligned and the others right-aligned.
func markdown(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	b.WriteString("|---|" + strings.Repeat("--:|", len(head)-1) + "\n")
	for _, row := range rows {
		line(row)
	}
	return b.String()
}
