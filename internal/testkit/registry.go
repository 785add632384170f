package testkit

const TargetBase = "registry.example.com/group/project"
