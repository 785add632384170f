package plan

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// ParseSince parses a date, which means midnight UTC, a time, or an age, in which a day is 24 hours.
func ParseSince(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	if number, isDays := strings.CutSuffix(text, "d"); isDays {
		if days, err := strconv.ParseUint(number, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(days)), nil
		}
	}
	if age, err := time.ParseDuration(text); err == nil && age > 0 {
		return now.Add(-age), nil
	}
	return time.Time{}, errors.New("must be a date, such as 2026-01-31, a time, such as 2026-01-31T06:00:00Z, or an age, such as 90d or 36h")
}
