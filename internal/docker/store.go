package docker

import (
	"github.com/docker/docker/api/types/versions"
)

// containerdDefault is the first version of the API of engines whose default is the containerd image store: Docker 29.
const containerdDefault = "1.52"

// IsClassic reports whether the engine keeps its images in the classic store: the containerd store says so of itself.
func (c *Connection) IsClassic() bool {
	for _, status := range c.Info.DriverStatus {
		if status == [2]string{"driver-type", "io.containerd.snapshotter.v1"} {
			return false
		}
	}
	return true
}

// WhyClassic is what makes an engine keep the classic store that would have the containerd store by default, and the
// line to change; driver is the job's DOCKER_DRIVER. It is empty for an engine that is older, or has the other store.
func (c *Connection) WhyClassic(driver string) string {
	switch {
	case !c.IsClassic() || versions.LessThan(c.API, containerdDefault):
		return ""
	case driver != "" && driver == c.Info.Driver:
		return "DOCKER_DRIVER=" + driver + " makes it keep the classic image store, because services inherit the job's variables: " +
			`remove DOCKER_DRIVER from variables:, or add DOCKER_DRIVER: "" to the variables: of the docker:dind service`
	}
	return "it keeps the classic image store because of --storage-driver or --feature=containerd-snapshotter=false in the service's " +
		"command, the same in daemon.json, or an older engine's data in /var/lib/docker: remove that"
}
