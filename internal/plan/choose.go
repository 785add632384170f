package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// Patterns choose the names that a pattern matches, or all names if there are only exclusions, which begin with "!". They never
// choose a name that an exclusion matches. A pattern matches whole names: "*" stands for any characters except a slash, "**"
// for any number of levels, and "?", "[a-z]" and "{a,b}" are what they are in a shell.
type Patterns []string

const exclusion = "!"

// ParsePatterns parses a list of patterns that are separated by commas, spaces or newlines.
func ParsePatterns(list string) (Patterns, error) {
	patterns := Patterns(split(list))
	if i := slices.IndexFunc(patterns, isRange); i >= 0 {
		return nil, fmt.Errorf("%q is for tags only", patterns[i])
	}
	return patterns.validated(list)
}

// validated returns the patterns of a list, or an error if one of them is invalid.
func (p Patterns) validated(list string) (Patterns, error) {
	for _, pattern := range p {
		glob := strings.TrimPrefix(pattern, exclusion)
		if glob == "" || !isRange(pattern) && !doublestar.ValidatePattern(glob) {
			return nil, fmt.Errorf("%q is not a pattern, such as team/*, team/** or !*-rc*", pattern)
		}
	}
	if len(p) == 0 && list != "" {
		return nil, errors.New("contains no pattern")
	}
	return p, nil
}

// split splits a list at spaces and at commas that are not within braces.
func split(list string) []string {
	var words []string
	depth, from := 0, 0
	for i, r := range list + " " {
		switch {
		case r == '{':
			depth++
		case r == '}':
			depth--
		case unicode.IsSpace(r), r == ',' && depth <= 0:
			if from < i {
				words = append(words, list[from:i])
			}
			from = i + utf8.RuneLen(r)
		}
	}
	return words
}

// choose reports whether the name is selected.
func (p Patterns) choose(name string) bool {
	wanted, inclusions := false, false
	for _, pattern := range p {
		if !strings.HasPrefix(pattern, exclusion) {
			inclusions = true
			wanted = wanted || matches(pattern, name)
		}
	}
	return (wanted || !inclusions) && !p.exclude(name)
}

// exclude reports whether an exclusion matches the name.
func (p Patterns) exclude(name string) bool {
	return slices.ContainsFunc(p, func(pattern string) bool {
		return strings.HasPrefix(pattern, exclusion) && matches(pattern, name)
	})
}

func matches(pattern, name string) bool {
	if constraint, ok := strings.CutPrefix(strings.TrimPrefix(pattern, exclusion), versions); ok {
		return inRange(constraint, name)
	}
	return doublestar.MatchUnvalidated(strings.TrimPrefix(pattern, exclusion), name)
}

// hits returns the patterns that match one of the names.
func (p Patterns) hits(names []string) []string {
	var hits []string
	for _, pattern := range p {
		if slices.ContainsFunc(names, func(name string) bool { return matches(pattern, name) }) {
			hits = append(hits, pattern)
		}
	}
	return hits
}

// Choice chooses tags of the source. The zero value chooses all of them.
type Choice struct {
	Repositories Patterns
	Tags         Patterns
	Newest       int       // the N most recently pushed tags of each repository; 0: all
	Since        time.Time // only tags pushed at that time or later; zero: any time
}

// Everything reports whether the choice includes everything that the source has.
func (c Choice) Everything() bool { return len(c.Repositories) == 0 && c.allTags() }

func (c Choice) allTags() bool { return len(c.Tags) == 0 && c.Newest == 0 && c.Since.IsZero() }

// repositories returns the chosen repositories.
func (c Choice) repositories(all []image.Repository) []image.Repository {
	if len(c.Repositories) == 0 {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(r image.Repository) bool { return !c.Repositories.choose(r.Name) })
}

// images returns the chosen images of one repository, each with its chosen tags. Referrers stay, even without a tag, because
// they go with their subject.
func (c Choice) images(all []image.Image) ([]image.Image, leftOut) {
	if c.allTags() {
		return all, leftOut{}
	}
	wanted, left := c.tags(all)
	wanted.follow(all, c.Tags)
	var images []image.Image
	for _, img := range all {
		img.Tags = wanted[img.Digest]
		slices.Sort(img.Tags)
		if len(img.Tags) > 0 || img.Subject != "" {
			images = append(images, img)
		}
	}
	return images, left
}

// leftOut counts tags that are not selected because of when their image was pushed.
type leftOut struct {
	before  int // excluded by MIGRATE_SINCE
	surplus int // excluded by MIGRATE_NEWEST
}

// wantedTags are the chosen tags, by image.
type wantedTags map[digest.Digest][]string

// pushedTag is a tag with what Choice needs to know of it.
type pushedTag struct {
	name     string
	image    digest.Digest
	pushedAt time.Time
}

// tags returns the tags that are selected in their own right.
func (c Choice) tags(images []image.Image) (wanted wantedTags, left leftOut) {
	var found []pushedTag
	for _, img := range images {
		for _, tag := range img.Tags {
			switch subject, _ := image.SubjectOf(tag); {
			case subject != "" || !c.Tags.choose(tag):
			case img.PushedAt.Before(c.Since):
				left.before++
			default:
				found = append(found, pushedTag{tag, img.Digest, img.PushedAt})
			}
		}
	}
	if c.Newest > 0 && c.Newest < len(found) {
		slices.SortFunc(found, func(a, b pushedTag) int {
			if newer := b.pushedAt.Compare(a.pushedAt); newer != 0 {
				return newer
			}
			return strings.Compare(a.name, b.name)
		})
		left.surplus = len(found) - c.Newest
		found = found[:c.Newest]
	}
	wanted = wantedTags{}
	for _, tag := range found {
		wanted[tag.image] = append(wanted[tag.image], tag.name)
	}
	return wanted, left
}

// companion is a tag that goes with another image.
type companion struct {
	pushedTag
	subject digest.Digest
}

// follow adds the tags that go with an image, because they name its digest, as cosign's signatures do. If that image is not
// listed it may be one platform of a listed index, so its companions go with anything chosen of the repository.
func (w wantedTags) follow(images []image.Image, patterns Patterns) {
	if len(w) == 0 {
		return
	}
	var waiting []companion
	listed := map[digest.Digest]bool{}
	for _, img := range images {
		listed[img.Digest] = len(img.Tags) > 0
		for _, tag := range img.Tags {
			if subject, _ := image.SubjectOf(tag); subject != "" && !patterns.exclude(tag) {
				waiting = append(waiting, companion{pushedTag{name: tag, image: img.Digest}, subject})
			}
		}
	}
	for before := len(waiting) + 1; len(waiting) < before; { // a signature can have signatures of its own
		before = len(waiting)
		waiting = slices.DeleteFunc(waiting, func(c companion) bool {
			comes := len(w[c.subject]) > 0 || !listed[c.subject]
			if comes {
				w[c.image] = append(w[c.image], c.name)
			}
			return comes
		})
	}
}
