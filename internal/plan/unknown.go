package plan

import (
	"maps"
	"slices"
)

// UnknownType is a media type that GitLab's registry is not known to take (see MediaTypesOf), with what has it.
type UnknownType struct {
	MediaType string
	Tags      int // of images that have it
	Bound     int // of these tags: those that MIGRATE_LEAVE_OUT cannot migrate without it
	Referrers int // signatures, SBOMs and others that have it
}

// UnknownTypes returns the media types in the items that GitLab's registry is not known to take, sorted. tags says how
// many of an item's tags count.
func UnknownTypes(items []*Item, tags func(*Item) int) []UnknownType {
	found := map[string]*UnknownType{}
	at := func(mediaType string) *UnknownType {
		if found[mediaType] == nil {
			found[mediaType] = &UnknownType{MediaType: mediaType}
		}
		return found[mediaType]
	}
	seen := map[*referrers]bool{}
	for _, i := range items {
		n := tags(i)
		if n == 0 || i.Rejected() {
			continue
		}
		for _, mediaType := range i.Unknown {
			at(mediaType).Tags += n
			if !slices.Contains(i.Dispensable, mediaType) {
				at(mediaType).Bound += n
			}
		}
		for _, subject := range i.Subjects() {
			set := i.Referrers[subject]
			for mediaType, referrers := range set.unknown {
				if !seen[set] {
					at(mediaType).Referrers += referrers
				}
			}
			seen[set] = true
		}
	}
	var sorted []UnknownType
	for _, mediaType := range slices.Sorted(maps.Keys(found)) {
		sorted = append(sorted, *found[mediaType])
	}
	return sorted
}
