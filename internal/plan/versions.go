package plan

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/Masterminds/semver/v3"
)

// versions is the prefix of a pattern for tags that are semantic versions in a range, such as "semver:>=1.2 <3".
const versions = "semver:"

// ParseTagPatterns parses a list like ParsePatterns does, which may also contain version ranges.
func ParseTagPatterns(list string) (Patterns, error) {
	var patterns Patterns
	for _, pattern := range joinRanges(split(list)) {
		constraint, isRange := strings.CutPrefix(strings.TrimPrefix(pattern, exclusion), versions)
		if !isRange {
			patterns = append(patterns, pattern)
			continue
		}
		if _, err := semver.NewConstraint(constraint); err != nil {
			return nil, fmt.Errorf("%q is not a range of versions, such as semver:>=1.2 <3", pattern)
		}
		patterns = append(patterns, pattern)
	}
	return patterns.validated(list)
}

// joinRanges joins ranges that were split at white space and commas.
func joinRanges(words []string) []string {
	var joined []string
	for _, word := range words {
		last := len(joined) - 1
		if last >= 0 && isRange(joined[last]) && continues(joined[last], word) {
			joined[last] += " " + word
			continue
		}
		joined = append(joined, word)
	}
	return joined
}

func isRange(pattern string) bool {
	return strings.HasPrefix(strings.TrimPrefix(pattern, exclusion), versions)
}

// operators are those that may be separated from their version by white space.
var operators = []string{"", "||", "-", "=", "!=", "<", ">", "<=", ">=", "=<", "=>", "~", "~>", "^"}

// continues reports whether the word belongs to the range: it begins with an operator, or follows one.
func continues(constraint, word string) bool {
	constraint = constraint[strings.Index(constraint, versions)+len(versions):]
	before := constraint[strings.LastIndexByte(constraint, ' ')+1:]
	return slices.Contains(operators, before) || word == "-" ||
		strings.ContainsAny(word[:1], "<>=~^|") || strings.HasPrefix(word, "!=")
}

// constraints caches parsed ranges by their text, because each tag is compared with them.
var constraints sync.Map

// inRange reports whether a tag is a version in the range. Tags that are not versions are in no range.
func inRange(constraint, tag string) bool {
	version, err := semver.NewVersion(tag)
	if err != nil {
		return false
	}
	parsed, ok := constraints.Load(constraint)
	if !ok {
		c, err := semver.NewConstraint(constraint)
		if err != nil {
			return false
		}
		parsed, _ = constraints.LoadOrStore(constraint, c)
	}
	return parsed.(*semver.Constraints).Check(version)
}
