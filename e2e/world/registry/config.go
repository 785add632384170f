package registry

import (
	"github.com/distribution/distribution/v3/configuration"
)

// config configures a registry as lenient as ECR's and GitLab's: it accepts any artifact, foreign layers with any URL,
// and deletion, but no index with missing children. There is no blob cache, so that tests can damage the directory.
func config(opts Options) *configuration.Configuration {
	cfg := &configuration.Configuration{
		Version: configuration.CurrentVersion,
		Storage: configuration.Storage{
			"filesystem": {"rootdirectory": opts.Dir},
			"delete":     {"enabled": true},
			// Its goroutine would outlive Close.
			"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
		},
		Auth:    opts.Auth,
		Catalog: configuration.Catalog{MaxEntries: 1000},
		Tags:    configuration.Tags{MaxTags: 1000},
	}
	cfg.Log.AccessLog.Disabled = true
	cfg.Validation.Manifests.URLs.Allow = []string{".*"}
	cfg.Validation.Manifests.Indexes.Platforms = "all"
	return cfg
}
