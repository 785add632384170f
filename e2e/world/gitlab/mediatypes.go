package gitlab

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed mediatypes.txt
var mediaTypesFile string

// mediaTypes returns the media types that GitLab's registry knows. The version is stated in mediatypes.txt.
var mediaTypes = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{}
	for line := range strings.Lines(mediaTypesFile) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			known[line] = true
		}
	}
	return known
})
