package plan

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Rule renames repositories whose whole name matches its pattern.
type Rule struct {
	text        string
	pattern     *regexp.Regexp
	replacement string // in the syntax of regexp.Expand
}

// Rules rename repositories. If several match a name, the first one applies.
type Rules []Rule

const arrow = "=>"

// ParseRules parses rules of the form "pattern => replacement", one per line or separated by semicolons. A pattern is a
// regular expression that must match the whole name, and \1 to \9 in the replacement stand for its groups.
func ParseRules(text string) (Rules, error) {
	var rules Rules
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' || r == ';' }) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		rule, err := parseRule(line)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	if len(rules) == 0 && text != "" {
		return nil, errors.New("contains no rule")
	}
	return rules, nil
}

func parseRule(line string) (Rule, error) {
	pattern, replacement, found := strings.Cut(line, arrow)
	pattern, replacement = strings.TrimSpace(pattern), strings.TrimSpace(replacement)
	if !found || pattern == "" || replacement == "" {
		return Rule{}, fmt.Errorf(`%q is not a rule, such as team/(.*)/(.*) => \2/\1`, line)
	}
	expression, err := regexp.Compile("^(?:" + pattern + ")$")
	if err != nil {
		return Rule{}, fmt.Errorf("%q is not a regular expression: %s", pattern, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	for _, group := range groups.FindAllStringSubmatch(replacement, -1) {
		if number, _ := strconv.Atoi(group[1]); number > expression.NumSubexp() {
			return Rule{}, fmt.Errorf("%q refers to group %s, and its pattern has %d", line, group[0], expression.NumSubexp())
		}
	}
	// GitLab would expand $1 in a variable's value, so groups are written with a backslash.
	template := groups.ReplaceAllString(strings.ReplaceAll(replacement, "$", "$$"), "$${$1}")
	return Rule{text: line, pattern: expression, replacement: template}, nil
}

var groups = regexp.MustCompile(`\\([1-9])`)

// rename returns the repository's new name, and the rule that applies, or nil if none matches.
func (r Rules) rename(repository string) (string, *Rule) {
	for i, rule := range r {
		if match := rule.pattern.FindStringSubmatchIndex(repository); match != nil {
			return string(rule.pattern.ExpandString(nil, rule.replacement, repository, match)), &r[i]
		}
	}
	return repository, nil
}
