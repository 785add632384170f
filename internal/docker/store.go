package docker

import (
	"github.com/docker/docker/api/types/versions"
)

// containerdDefault is the API version of Docker 29, the first whose default is the containerd image store.
const containerdDefault = "1.52"

// IsClassic reports whether the engine has the classic image store, and not the containerd store.
func (c *Connection) IsClassic() bool {
	for _, status := range c.Info.DriverStatus {
		if status == [2]string{"driver-type", "io.containerd.snapshotter.v1"} {
			return false
		}
	}
	return true
}

// WhyClassic returns what makes an engine use the classic store although its default is the containerd store, and which
// line to change. It is empty for an older engine and for the containerd store. driver is the job's DOCKER_DRIVER.
func (c *Connection) WhyClassic(driver string) string {
	switch {
	case !c.IsClassic() || versions.LessThan(c.API, containerdDefault):
		return ""
	case driver != "" && driver == c.Info.Driver:
		return "DOCKER_DRIVER=" + driver + " makes it use the classic image store, because services inherit the job's variables: " +
			`remove DOCKER_DRIVER from variables:, or add DOCKER_DRIVER: "" to the variables: of the docker:dind service`
	}
	return "it uses the classic image store because of --storage-driver or --feature=containerd-snapshotter=false in the service's " +
		"command, the same in daemon.json, or an older engine's data in /var/lib/docker: remove that"
}
