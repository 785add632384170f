package gitlab

import (
	"regexp"
	"strings"
)

// levels is how many levels below its project GitLab finds a repository.
const levels = 2

// repositoryName is GitLab's own rule, which is stricter than a registry's: no consecutive dashes, no component that
// starts or ends with a separator.
var repositoryName = regexp.MustCompile(`^[a-z0-9]+(?:(?:[._/]|__|-+)[a-z0-9]+)*$`)

// inProject reports whether GitLab accepts name for a repository of project.
func inProject(name, project string) bool {
	below, ok := strings.CutPrefix(name+"/", project+"/")
	return ok && strings.Count(below, "/") <= levels && repositoryName.MatchString(name)
}
