package ecr

import "testing"

func TestHosts(t *testing.T) {
	var hosts Hosts
	if hosts.Has("") {
		t.Error("there is one before there is any")
	}
	hosts.Add("")
	hosts.Add("123456789012.dkr.ecr.eu-west-1.amazonaws.com")
	hosts.Add("123456789012.dkr-ecr.eu-west-1.on.aws/team/app")
	hosts.Add("localhost:4566/team/app")
	for host, want := range map[string]bool{
		"": false, "123456789012.dkr.ecr.eu-west-1.amazonaws.com": true, "123456789012.dkr-ecr.eu-west-1.on.aws": true,
		"localhost:4566": true, "localhost": false, "dkr.ecr.eu-west-1.amazonaws.com": false,
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.com": false, "team": false,
	} {
		if hosts.Has(host) != want {
			t.Errorf("%q: %t", host, !want)
		}
	}
}
