package bus

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// Permissions are what a name of a role may publish and hear.
func Permissions(name string, role Role) *server.Permissions {
	inbox := inboxPrefix(name) + ".>"
	switch role {
	case CentreRole:
		return &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{">"}},
			Subscribe: &server.SubjectPermission{Allow: []string{">"}}}
	case NodeRole:
		return &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{
				samplePrefix + name, kvSubject(membersBucket, name),
				getSubject(plansBucket, allKey), getSubject(plansBucket, nodePrefix+name),
				getSubject(policyBucket, "*"), getSubject(beliefsBucket, beliefsKey),
			}},
			Subscribe: &server.SubjectPermission{Allow: []string{kvSubject(plansBucket, allKey),
				kvSubject(plansBucket, nodePrefix+name), inbox}},
		}
	case ViewRole:
		return &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{getSubject(statusBucket, statusKey)}},
			Subscribe: &server.SubjectPermission{Allow: []string{inbox}},
		}
	}
	return &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{">"}},
		Subscribe: &server.SubjectPermission{Deny: []string{">"}}}
}

// inboxPrefix is where the answers to a client go: nobody else may listen there.
func inboxPrefix(name string) string { return "_INBOX_" + name }

// WriteConfig writes the part of a nats-server's configuration that gives the names their permissions: for a cluster
// that is not the centre's own. It maps certificates to users by their subject. A name whose present certificate is
// revoked is left out: a server that reads the file again cuts it off.
func (k Keys) WriteConfig(w io.Writer) error {
	names, err := k.Names()
	if err != nil {
		return err
	}
	revoked, err := k.Revoked()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# permissions of a trimtab fleet, for nats-server beside tls { verify_and_map: true }, which names " +
		"clients\n# by certificate, and max_payload: 8MB\nauthorization {\n  users = [\n")
	for _, name := range names {
		id, err := k.Identity(name)
		if err != nil {
			return err
		}
		cert, err := tls.X509KeyPair(id.Cert, id.Key)
		if err != nil {
			return fmt.Errorf("read certificate of %s: %w", name, err)
		}
		if revoked[fmt.Sprintf("%x", cert.Leaf.SerialNumber)] {
			continue
		}
		_, role := identityOf(cert.Leaf)
		p := Permissions(name, role)
		fmt.Fprintf(&b, "    { user = \"CN=%s,OU=%s\", permissions = { publish = { allow = [%s] }, subscribe = { "+
			"allow = [%s] } } }\n", name, role,
			quoted(p.Publish.Allow), quoted(p.Subscribe.Allow))
	}
	b.WriteString("  ]\n}\n")
	_, err = io.WriteString(w, b.String())
	return err
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(out, ", ")
}
