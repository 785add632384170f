package registry

import (
	"github.com/distribution/distribution/v3/configuration"
)

// config is a registry as lenient as ECR and GitLab's are: any artifact, foreign layers with any
// URL, deletion; but no index whose children are missing. No blob cache: the directory is the
// truth, also when a test damages it.
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
