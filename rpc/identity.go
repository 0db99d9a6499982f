package rpc

// Identity is who makes a call, as far as the node that serves it knows.
//
// Name alone proves nothing unless Verified is set, and does not make a member: a client's
// certificate may bear the name of a node. What is for members alone is checked by Member, and
// what is for some by Name and Verified together.
//
// Invariant: an identity with Member set has a Name.
type Identity struct {
	// Name is the name of the node that calls or, of a client with TLS, the one in its
	// certificate: its common name, else the first of its DNS names, URIs and e-mail addresses.
	// It is empty for a client without TLS.
	Name string
	// Member reports whether the caller is a live member of the cluster by the view of the node
	// that serves the call and, with TLS, has proved it. A member that has just joined is not
	// one before its news has come. Without TLS anybody can say that he is a member.
	Member bool
	// Verified reports whether a certificate that the cluster trusts bears Name. It is false
	// without TLS, where a name is a claim.
	Verified bool
}

// String describes the identity for people, such as "member node-1" or `client "admin"`.
func (id Identity) String() string {
	what := "client"
	if id.Member {
		what = "member"
	}
	switch {
	case id.Name == "":
		return "a " + what + " without a name"
	case !id.Verified:
		return what + " " + id.Name + " (not verified)"
	}
	return what + " " + id.Name
}

// OnBehalf makes a call for somebody else: Info.Caller of whoever serves it is id, while
// Info.Peer is this node. It is for gateways that know who calls them. A node believes it of
// members alone: with TLS, of those that have proved who they are. Calls that a Client makes
// with it are refused.
func OnBehalf(id Identity) CallOption { return CallOption{kind: optOnBehalf, caller: &id} }
