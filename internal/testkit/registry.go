package testkit

// TargetBase is the CI_REGISTRY_IMAGE of the tests.
const TargetBase = "registry.example.com/group/project"
