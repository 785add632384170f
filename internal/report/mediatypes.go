package report

import (
	"fmt"
	"strings"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// maxUnknown is how many media types have a line each.
const maxUnknown = 10

// unknownTypes names the media types that GitLab may refuse, and what helps then.
func (l *Log) unknownTypes(unknown []plan.UnknownType) {
	if len(unknown) == 0 {
		return
	}
	l.Line("Plan: media types that %s does not take; later versions take more, so yours may:", plan.MediaTypesOf)
	var can []string
	for at, u := range unknown {
		if u.Tags > u.Bound || u.Referrers > 0 {
			can = append(can, u.MediaType)
		}
		if at < maxUnknown {
			l.Line("      %s (%s)", u.MediaType, whatHas(u))
		}
	}
	if left := len(unknown) - maxUnknown; left > 0 {
		l.Line("      and %d more", left)
	}
	l.Line("      If GitLab refuses them: upgrade it, or set REGISTRY_FF_DYNAMIC_MEDIA_TYPES=true on a self-managed registry")
	if len(can) > 0 {
		l.Line("      or leave out artifacts that accompany images: MIGRATE_LEAVE_OUT=%s", strings.Join(can, ","))
	}
}

// whatHas counts what has the media type.
func whatHas(u plan.UnknownType) string {
	var parts []string
	if u.Tags > 0 {
		parts = append(parts, fmt.Sprintf("%d tags", u.Tags))
	}
	if u.Bound > 0 {
		parts = append(parts, fmt.Sprintf("of which %d cannot arrive without it", u.Bound))
	}
	if u.Referrers > 0 {
		parts = append(parts, fmt.Sprintf("%d signatures or other referrers", u.Referrers))
	}
	return strings.Join(parts, ", ")
}
