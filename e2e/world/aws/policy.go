package aws

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// tutorialActions is the IAM policy of the tutorial: everything that the identity may do.
var tutorialActions = []string{
	"GetAuthorizationToken",
	"BatchCheckLayerAvailability",
	"GetDownloadUrlForLayer",
	"DescribeRepositories",
	"ListImages",
	"DescribeImages",
	"BatchGetImage",
}

// policy holds the permissions of an identity, for both the API and the registry.
type policy struct {
	region       string
	crossAccount bool

	mu      sync.Mutex
	allowed map[string]bool
}

func newPolicy(opts Options) *policy {
	p := &policy{region: opts.Region, crossAccount: opts.CrossAccount, allowed: map[string]bool{}}
	for _, action := range tutorialActions {
		p.allowed[action] = true
	}
	return p
}

func (p *policy) deny(actions []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, action := range actions {
		delete(p.allowed, strings.TrimPrefix(action, "ecr:"))
	}
}

func (p *policy) allows(action string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.allowed[action]
}

// check fails unless id may perform the action on a repository of registryID; empty means all repositories.
func (p *policy) check(id *identity, action, registryID, repository string) error {
	if !p.allows(action) {
		return p.denied(id, action, registryID, repository, "identity-based")
	}
	if id.accountID != registryID && !p.crossAccount && action != "GetAuthorizationToken" {
		return p.denied(id, action, registryID, repository, "resource-based")
	}
	return nil
}

func (p *policy) denied(id *identity, action, registryID, repository, kind string) error {
	return &apiError{http.StatusBadRequest, "AccessDeniedException", fmt.Sprintf(
		"User: %s is not authorized to perform: ecr:%s on resource: %s because no %s policy allows the ecr:%s action",
		id.arn, action, p.resource(action, registryID, repository), kind, action)}
}

func (p *policy) resource(action, registryID, repository string) string {
	switch {
	case repository != "":
		return repositoryARN(p.region, registryID, repository)
	case action == "DescribeRepositories":
		return repositoryARN(p.region, registryID, "*")
	}
	return "*"
}

func repositoryARN(region, registryID, name string) string {
	return "arn:aws:ecr:" + region + ":" + registryID + ":repository/" + name
}
