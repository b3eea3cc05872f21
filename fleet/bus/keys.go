package bus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"trimtab/fleet"
)

// Role is what a certificate is for.
type Role string

// The roles.
const (
	NodeRole   Role = "node"   // reports and follows plans
	CentreRole Role = "centre" // serves and plans
	ViewRole   Role = "view"   // reads where the fleet stands
)

// Keys is a folder with the fleet's own authority and what it has signed: ca.pem and ca.key, NAME.pem and NAME.key, and
// revoked, the serial numbers that are not valid any more.
type Keys struct{ Dir string }

// Files of Keys.
const (
	caName      = "ca"
	revokedName = "revoked"
)

// Validity of certificates.
const (
	caYears   = 10
	leafYears = 2
)

// Init makes the authority and the certificates of a centre and of a viewer. Hosts are the names and addresses by which
// nodes reach the centre, beside those of this machine itself. It does not replace an authority that is there.
func (k Keys) Init(hosts []string) error {
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	if _, err := os.Stat(k.path(caName, ".key")); err == nil {
		return fmt.Errorf("make keys: %s is there already", k.path(caName, ".key"))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "trimtab fleet"},
		NotBefore: time.Now().Add(-25 * time.Hour),
		NotAfter:  time.Now().AddDate(caYears, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	if err := k.write(caName, der, key); err != nil {
		return err
	}
	if err := k.Issue("centre", CentreRole, hosts); err != nil {
		return err
	}
	return k.Issue("view", ViewRole, nil)
}

// Issue makes NAME.pem and NAME.key. Of a name that is there already it makes new ones; the old ones stay valid until
// they are revoked.
func (k Keys) Issue(name string, role Role, hosts []string) error {
	if err := fleet.CheckNodeName(name); err != nil {
		return err
	}
	if name == caName || name == revokedName || role == NodeRole && (name == "centre" || name == "view") {
		return fmt.Errorf("issue certificate: the name %q is taken", name)
	}
	ca, err := tls.LoadX509KeyPair(k.path(caName, ".pem"), k.path(caName, ".key"))
	if err != nil {
		return fmt.Errorf("issue certificate: %w (trimtab fleet keys init makes an authority)", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("issue certificate: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name,
		OrganizationalUnit: []string{string(role)}},
		NotBefore: time.Now().Add(-25 * time.Hour), NotAfter: time.Now().AddDate(leafYears, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if role == CentreRole {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		template.DNSNames, template.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1),
			net.IPv6loopback}
		for _, h := range hosts {
			if ip := net.ParseIP(h); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, h)
			}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, &key.PublicKey, ca.PrivateKey)
	if err != nil {
		return fmt.Errorf("issue certificate: %w", err)
	}
	return k.write(name, der, key)
}

// Revoke makes the present certificate of the name invalid at every centre that has this folder.
func (k Keys) Revoke(name string) error {
	text, err := os.ReadFile(k.path(name, ".pem"))
	if err != nil {
		return fmt.Errorf("revoke certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("revoke certificate: %s holds none", k.path(name, ".pem"))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("revoke certificate: %w", err)
	}
	path := filepath.Join(k.Dir, revokedName)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("revoke certificate: %w", err)
	}
	_, err = fmt.Fprintf(f, "%x %s\n", cert.SerialNumber, name)
	return errors.Join(err, f.Close())
}

// Revoked are the serial numbers that are not valid, in hexadecimal.
func (k Keys) Revoked() (map[string]bool, error) {
	text, err := os.ReadFile(filepath.Join(k.Dir, revokedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read revoked certificates: %w", err)
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if serial, _, _ := strings.Cut(strings.TrimSpace(line), " "); serial != "" {
			out[serial] = true
		}
	}
	return out, nil
}

// Names are those that have certificates, the authority left out.
func (k Keys) Names() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(k.Dir, "*.pem"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".pem"); name != caName {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Identity is what a client shows, and whom it trusts: PEM texts.
type Identity struct{ CA, Cert, Key []byte }

// Identity reads that of a name.
func (k Keys) Identity(name string) (Identity, error) {
	var id Identity
	var errs [3]error
	id.CA, errs[0] = os.ReadFile(k.path(caName, ".pem"))
	id.Cert, errs[1] = os.ReadFile(k.path(name, ".pem"))
	id.Key, errs[2] = os.ReadFile(k.path(name, ".key"))
	if err := errors.Join(errs[:]...); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return id, fmt.Errorf("%s: the keys of %s are not all there: trimtab fleet keys makes them at the centre; "+
				"--keys names another folder", k.Dir, name)
		}
		return id, fmt.Errorf("read keys of %s: %w", name, err)
	}
	return id, nil
}

// Name is that of the certificate.
func (id Identity) Name() (string, Role, error) {
	cert, err := tls.X509KeyPair(id.Cert, id.Key)
	if err != nil {
		return "", "", fmt.Errorf("read certificate: %w", err)
	}
	name, role := identityOf(cert.Leaf)
	return name, role, nil
}

func identityOf(cert *x509.Certificate) (string, Role) {
	role := Role("")
	if len(cert.Subject.OrganizationalUnit) == 1 {
		role = Role(cert.Subject.OrganizationalUnit[0])
	}
	return cert.Subject.CommonName, role
}

// errNotCentre is what a client says to a server that shows another role's certificate: a node could pose as a centre.
var errNotCentre = errors.New("the server's certificate is not a centre's")

// TLS is the configuration of a client that speaks to centres only.
func (id Identity) TLS() (*tls.Config, error) {
	cert, err := tls.X509KeyPair(id.Cert, id.Key)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(id.CA) {
		return nil, errors.New("read authority: no certificate in it")
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, RootCAs: pool,
		ClientCAs: pool,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) > 0 {
				if _, role := identityOf(s.PeerCertificates[0]); role != CentreRole {
					return errNotCentre
				}
			}
			return nil
		}}, nil
}

func (k Keys) path(name, ext string) string { return filepath.Join(k.Dir, name+ext) }

func (k Keys) write(name string, der []byte, key *ecdsa.PrivateKey) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	err = errors.Join(
		os.WriteFile(k.path(name, ".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600),
		os.WriteFile(k.path(name, ".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return nil
}

func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("draw serial number: %w", err)
	}
	return n, nil
}
