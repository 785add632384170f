package docker

import "fmt"

// ReachRemedy returns what a user can do about an engine, with a proxy of its own or without, that cannot reach a host.
func ReachRemedy(host string, proxied bool) string {
	if proxied {
		return fmt.Sprintf("The engine uses a proxy, the one in its HTTPS_PROXY: make sure that it is the right one and can reach %s, or, if that "+
			"is in your own network, add it to the engine's NO_PROXY; %s", host, enginesVariables)
	}
	return "The engine connects by itself, and it has no proxy. If its network requires one, set HTTPS_PROXY and NO_PROXY for the engine; " +
		enginesVariables
}

// enginesVariables says where an engine gets its variables.
const enginesVariables = "in a job, the engine is the docker:dind service, which gets the variables in .gitlab-ci.yml, but not those in " +
	"Settings > CI/CD > Variables"
