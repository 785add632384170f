package gitlab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/distribution/distribution/v3/registry/auth/token"
	"github.com/golang-jwt/jwt/v5"
)

const (
	service    = "container_registry"
	issuerName = "gitlab-issuer"
)

// issuer signs the registry's tokens. The registry trusts its certificate.
type issuer struct {
	key      *ecdsa.PrivateKey
	keyID    string
	bundle   string // path of the certificate, PEM
	lifetime time.Duration
}

// newIssuer generates a key pair and writes its certificate to dir. GitLab's key is an RSA key. To clients, a token is opaque,
// and an ECDSA signature takes a fraction of the time: each blob that is read from the object storage needs one, too.
func newIssuer(dir string, lifetime time.Duration) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := certificate(key)
	if err != nil {
		return nil, err
	}
	is := &issuer{
		key:      key,
		keyID:    token.GetJWKThumbprint(key.Public()),
		bundle:   filepath.Join(dir, "gitlab-issuer.crt"),
		lifetime: lifetime,
	}
	return is, os.WriteFile(is.bundle, cert, 0o600)
}

func certificate(key *ecdsa.PrivateKey) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: issuerName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// access is one entry of a token's access list.
type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

type claims struct {
	jwt.RegisteredClaims
	AuthType string   `json:"auth_type"`
	Access   []access `json:"access"`
}

// sign returns a token that gives subject the listed access.
func (is *issuer) sign(subject string, list []access) (string, error) {
	now := time.Now()
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			ID:        rand.Text(),
			Issuer:    issuerName,
			Subject:   subject,
			Audience:  jwt.ClaimStrings{service},
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now.Add(-5 * time.Second)),
			// The registry allows a minute of clock skew, which is deducted here so that lifetime is what clients see.
			ExpiresAt: jwt.NewNumericDate(now.Add(is.lifetime - token.Leeway)),
		},
		AuthType: "build",
		Access:   list,
	})
	t.Header["kid"] = is.keyID
	return t.SignedString(is.key)
}
