package report

import (
	"encoding/csv"
	"io"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/record"
)

// referencesHeader names the columns of references.csv.
var referencesHeader = []string{"ecr_reference", "gitlab_reference", "ecr_digest", "gitlab_digest"}

// writeReferences writes a line for each tag that is at the target, with its old and its new reference. A tag that the
// source no longer lists has no line. A spreadsheet does not mistake a field for a formula: references begin with a host,
// and digests with their algorithm.
func writeReferences(w io.Writer, d record.Document) error {
	out := csv.NewWriter(w) // which keeps its first error
	_ = out.Write(referencesHeader)
	for _, e := range d.Tags {
		if e.Outcome.Arrived() && e.SourceURI != "" {
			_ = out.Write([]string{e.SourceURI + ":" + e.Tag, e.Reference, e.SourceDigest.String(), e.PushedDigest.String()})
		}
	}
	out.Flush()
	return out.Error()
}
