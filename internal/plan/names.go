package plan

import (
	"fmt"
	"path"
	"regexp"
	"sort"
	"strings"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// maxLevels is how many levels below its project GitLab finds an image: it tries the path and its two parents
// (gitlab-org/gitlab, lib/container_registry/path.rb).
const maxLevels = 2

// maxPath is the maximum length of a repository path in GitLab's registry, in characters.
const maxPath = 255

// gitlabComponent is GitLab's rule for one component of a repository path, which allows consecutive dashes
// (gitlab-org/gitlab, lib/gitlab/regex.rb, container_repository_name_regex, and the distribution grammar).
var gitlabComponent = regexp.MustCompile(`^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$`)

// Namer maps repositories to their names below the target project.
type Namer struct {
	Base      string // CI_REGISTRY_IMAGE
	Rules     Rules  // applied first
	Separator string // joins components that are nested too deeply; empty: they are rejected
}

// Target returns the target repository, including the host. The error gives GitLab's reason for rejecting the name, and
// a remedy.
func (n Namer) Target(repository string) (string, error) {
	name, rule := n.Rules.rename(repository)
	target, err := n.place(name)
	if err != nil && rule != nil {
		return "", fmt.Errorf("MIGRATE_RENAME gives it the name %q (%s): %w", name, rule.text, err)
	}
	return target, err
}

// place puts a name below the target project, or below another project of its group if the name begins with "../".
func (n Namer) place(name string) (string, error) {
	project, name, err := n.project(name)
	if err != nil || name == "" {
		return project, err
	}
	components := strings.Split(name, "/")
	if len(components) > maxLevels {
		if n.Separator == "" {
			return "", fmt.Errorf("GitLab takes no image more than %d levels below its project, and %q has %d: "+
				`set MIGRATE_NAME_SEPARATOR, for example to "-" (it would be written as %q), or MIGRATE_RENAME`,
				maxLevels, name, len(components), flatten(components, "-"))
		}
		name = flatten(components, n.Separator)
	}
	for _, component := range strings.Split(name, "/") {
		if !gitlabComponent.MatchString(component) {
			return "", badName(name)
		}
	}
	target := project + "/" + name
	if path := target[strings.Index(target, "/")+1:]; len(path) > maxPath {
		return "", fmt.Errorf("GitLab takes paths of at most %d characters, and %q has %d: shorten the name with MIGRATE_RENAME, or use a "+
			"project with a shorter path", maxPath, path, len(path))
	}
	return target, nil
}

func badName(name string) error {
	return fmt.Errorf("GitLab does not take the name %q: a component begins and ends with a lower-case letter "+
		`or digit, with single ".", "_", "-" or "__" in between: set MIGRATE_RENAME`, name)
}

// project returns the project that a name belongs to, and the rest of the name, which is empty for the project itself.
func (n Namer) project(name string) (project, rest string, err error) {
	other, isOther := strings.CutPrefix(name, "../")
	if !isOther {
		if name == "" {
			return "", "", badName(name)
		}
		return n.Base, name, nil
	}
	group := path.Dir(n.Base)
	if !strings.Contains(group, "/") {
		return "", "", fmt.Errorf("%s is in no group that could have another project", n.Base)
	}
	other, rest, _ = strings.Cut(other, "/")
	if !gitlabComponent.MatchString(other) {
		return "", "", badName(name)
	}
	return group + "/" + other, rest, nil
}

// flatten keeps the first level and joins the rest, so that related repositories stay together.
func flatten(components []string, separator string) string {
	return components[0] + "/" + strings.Join(components[1:], separator)
}

// Targets maps every repository to its target. The second map has the reasons for the others: names that GitLab would
// reject, and names that map to the same target as another.
func (n Namer) Targets(repositories []image.Repository) (targets map[string]string, refused map[string]error) {
	targets, refused = map[string]string{}, map[string]error{}
	landing := map[string][]string{}
	for _, repository := range repositories {
		target, err := n.Target(repository.Name)
		if err != nil {
			refused[repository.Name] = err
			continue
		}
		targets[repository.Name] = target
		landing[target] = append(landing[target], repository.Name)
	}
	for target, names := range landing {
		if len(names) < 2 {
			continue
		}
		sort.Strings(names)
		for _, name := range names {
			delete(targets, name)
			refused[name] = fmt.Errorf("%s would all be written to %s: set another MIGRATE_NAME_SEPARATOR, or rename one of them "+
				"with MIGRATE_RENAME", strings.Join(names, ", "), target)
		}
	}
	return targets, refused
}
