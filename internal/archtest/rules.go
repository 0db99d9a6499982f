package archtest

// Rules is what [Check] holds a tree against. A package is written as its folder ("transport", "cmd/meshnode"); a
// pattern may end in "/...", which means the folder itself and all below it.
type Rules struct {
	Module     string         // import path of the root module
	Packages   map[string]Row // a row per package of the root module, or per pattern; the longest match counts
	TestLibs   []string       // modules that any test may import
	Bans       []Ban          // identifiers of other packages that are not to be used
	Pure       []string       // packages that start no goroutine
	Public     []string       // packages where every exported name needs a comment
	Virtual    []string       // packages whose functions run what they are given in virtual time, where a test may sleep
	Fields     bool           // there, fields and interface methods need one too, or a mention in the type's comment; off here: units and ranges matter, repeating a name doesn't
	BadNames   []string       // words that a package name may not contain
	MaxLines   int            // length of the longest Go file, in lines
	Exceptions []Exception
}

// Row says what one package may import. The standard library is open to it except for Forbid.
type Row struct {
	Internal []string // packages of this module
	External []string // modules or packages of others; what lies below them is included
	Forbid   []string // packages of the standard library; "net" is net alone, "net/..." all below as well
	Tests    []string // what its tests may import besides: packages of this module, or of others
}

// Ban forbids identifiers of an imported package outside tests.
type Ban struct {
	Import string
	Names  []string // "Dial" is one name, "Dial*" all that begin so, "*" all
	Except []string // names left free all the same
	In     []string // packages it applies to; empty means all
	NotIn  []string // packages it doesn't apply to
	Why    string
}

// Exception lets one finding pass. One that no longer matches anything is itself a problem.
type Exception struct {
	Rule, File, Name string // as in [Problem]
	Why              string
}

// House returns the rules of this repository. Whoever adds a package or a dependency adds it here, and the change is
// reviewed as a change of architecture.
func House() Rules {
	return Rules{
		Module:   "github.com/meshnode/meshnode",
		Packages: housePackages(),
		TestLibs: []string{"go.uber.org/goleak", "pgregory.net/rapid"},
		Bans:     houseBans(),
		Pure:     []string{"router/...", "internal/wire", "internal/pack", "internal/budget", "internal/metrics", "internal/admission"},
		Public: []string{
			"certs", "transport", "rpc", "router", "router/balance", "router/health", "membership", "node",
			"outbox", "sim", "sim/scenario", "sim/report",
		},
		Virtual:  []string{"testing/synctest", "github.com/meshnode/meshnode/sim", "github.com/meshnode/meshnode/internal/simtime"},
		BadNames: []string{"util", "common", "helper", "manager"},
		MaxLines: 400,
		Exceptions: []Exception{
			{Rule: "skip", File: "sim/scenario/lab_test.go", Name: "noBubbles", Why: "bubbles of testing/synctest can crash the race detector (golang/go issue 76691)"},
			{Rule: "skip", File: "cmd/meshnode/sim_test.go", Name: "noBubbles", Why: "bubbles of testing/synctest can crash the race detector (golang/go issue 76691)"},
			{Rule: "skip", File: "internal/exact/lab_test.go", Name: "slow", Why: "-short leaves out building for wasip1"},
			{Rule: "skip", File: "sim/test.go", Name: "Test", Why: "bubbles of synctest can crash the race detector (golang/go 76691); it says so aloud"},
			// {Rule: "skip", File: "transport/tcp_test.go", Name: "TestIPv6", Why: "not every machine has IPv6"},
		},
	}
}

func housePackages() map[string]Row {
	const (
		zerolog    = "github.com/rs/zerolog"
		msgpack    = "github.com/vmihailenco/msgpack/v5"
		memberlist = "github.com/hashicorp/memberlist"
		xxhash     = "github.com/cespare/xxhash/v2"
		cobra      = "github.com/spf13/cobra"
		pflag      = "github.com/spf13/pflag"
		isatty     = "github.com/mattn/go-isatty"
		term       = "golang.org/x/term"
		compress   = "github.com/klauspost/compress"
		progress   = "github.com/schollz/progressbar/v3"
		wazero     = "github.com/tetratelabs/wazero"
		flock      = "github.com/gofrs/flock"
		yaml       = "github.com/goccy/go-yaml"
		bbolt      = "go.etcd.io/bbolt"
	)
	sockets := []string{"net", "net/http/...", "net/rpc/...", "net/smtp", "crypto/tls", "os", "os/...", "syscall"}
	clocks := []string{"time", "sync/...", "runtime"}

	return map[string]Row{
		"internal/wire": {Forbid: sockets, Tests: []string{msgpack}},
		"internal/pack": {Internal: []string{"internal/wire"}, Forbid: append([]string{"runtime"}, sockets...), Tests: []string{msgpack}},
		"certs":         {Forbid: []string{"net", "net/http/...", "net/rpc/...", "net/smtp"}},
		"transport":     {Internal: []string{"internal/wire", "certs"}, External: []string{zerolog}, Tests: []string{"internal/simnet"}},
		"rpc":           {Internal: []string{"internal/wire", "internal/pack"}, External: []string{msgpack}, Forbid: sockets},
		"internal/mprpc": {
			Internal: []string{"internal/wire", "rpc"}, External: []string{zerolog},
			Forbid: []string{"net/http/...", "net/rpc/...", "crypto/tls", "os/exec"},
			Tests:  []string{msgpack},
		},
		"internal/admission": {Forbid: append([]string{"runtime"}, sockets...)},
		"internal/budget":    {Forbid: append([]string{"runtime"}, sockets...)},
		"internal/metrics":   {Forbid: append([]string{"runtime"}, sockets...)},
		"internal/compress":  {External: []string{compress}, Forbid: sockets},
		"internal/ledger": {
			Internal: []string{"internal/disk"},
			External: []string{bbolt},
			Forbid:   []string{"net", "net/http/...", "net/rpc/...", "net/smtp", "crypto/tls", "os/exec", "os/signal"},
		},
		"router":         {External: []string{xxhash}, Forbid: append([]string{"time", "runtime"}, sockets...)},
		"router/balance": {Forbid: append([]string{"sync", "runtime"}, sockets...)},
		"router/health":  {Forbid: append([]string{"runtime"}, sockets...)},
		"membership":     {Internal: []string{"transport", "internal/planted"}, External: []string{memberlist, msgpack, zerolog}},
		"node": {
			Internal: []string{"rpc", "router", "router/balance", "router/health", "membership", "transport", "internal/admission", "internal/budget", "internal/compress", "internal/metrics", "internal/mprpc", "internal/simhook"},
			External: []string{zerolog, msgpack},
			Tests:    []string{"internal/simnet"},
		},
		"cmd/meshnode/...": {
			Internal: []string{"node", "rpc", "router", "membership", "transport", "certs", "sim/scenario", "sim/report", "internal/exact", "internal/datadir", "outbox", "cmd/meshnode/..."},
			External: []string{cobra, pflag, zerolog, msgpack, isatty, term, progress},
		},
		"internal/exact":           {External: []string{wazero}, Forbid: []string{"net", "net/http/...", "net/rpc/...", "crypto/tls"}},
		"internal/exact/sockaddr":  {},
		"internal/exact/embed":     {Internal: []string{"internal/exact"}},
		"internal/exact/simulator": {Internal: []string{"sim/scenario"}},
		"internal/proctest":        {Internal: []string{"node", "rpc", "router", "membership", "transport", "certs"}, Tests: []string{"sim"}},
		"internal/proctest/worker": {Internal: []string{"node", "rpc", "membership"}, External: []string{zerolog}},
		"internal/proctest/teller": {
			Internal: []string{"node", "outbox", "router", "rpc", "membership", "examples/transfer/bank"}, External: []string{zerolog},
		},
		"internal/datadir": {Internal: []string{"internal/disk"}, Forbid: []string{"net", "net/http/...", "net/rpc/...", "crypto/tls", "os/exec"}},
		"internal/planted": {Forbid: append(clocks, sockets...)},
		"internal/simhook": {Internal: []string{"router", "internal/planted"}, Forbid: append([]string{"time", "runtime"}, sockets...)},
		"internal/simtime": {Forbid: sockets},
		"internal/simnet":  {Forbid: []string{"net/http/...", "net/rpc/...", "net/smtp", "crypto/tls", "os/exec", "os/signal"}},
		"outbox": {
			Internal: []string{"node", "rpc", "router", "internal/disk", "internal/ledger", "internal/redo"},
			External: []string{zerolog},
			Forbid:   []string{"net", "net/http/...", "net/rpc/...", "crypto/tls", "os/exec", "os/signal"},
			Tests:    []string{"membership", "internal/disk/faulty"},
		},
		"sim": {
			Internal: []string{"node", "rpc", "router", "membership", "internal/planted", "internal/simhook", "internal/simnet", "internal/simtime"},
			External: []string{zerolog},
			Forbid:   []string{"net", "net/http/...", "net/rpc/...", "crypto/tls", "os/exec"},
			Tests:    []string{"outbox"},
		},
		"sim/scenario": {
			Internal: []string{"sim", "node", "rpc", "router", "membership", "internal/planted", "internal/simnet", "internal/simtime"},
			External: []string{yaml, zerolog},
			Forbid:   []string{"net", "net/http/...", "net/rpc/...", "crypto/tls", "os/exec"},
		},
		"sim/report":           {Internal: []string{"sim/scenario"}, Forbid: sockets},
		"internal/disk":        {External: []string{flock}, Forbid: []string{"net", "net/...", "crypto/tls", "os/exec", "os/signal"}},
		"internal/disk/faulty": {Internal: []string{"internal/disk"}, Forbid: []string{"net", "net/...", "crypto/tls", "os/exec", "os/signal", "time"}},
		"internal/redo":        {Internal: []string{"internal/disk"}, Tests: []string{"internal/disk/faulty"}, Forbid: []string{"net", "net/...", "crypto/tls", "os/exec", "os/signal"}},
		"internal/archtest":    {},
		"examples/...":         {Internal: []string{"node", "outbox", "rpc", "examples/transfer/bank"}},
	}
}

func houseBans() []Ban {
	const seam = "every socket and every name look-up goes through transport.Network"
	const logger = "a library writes to the zerolog.Logger it was given"
	programs := []string{"cmd/...", "examples/...", "bench/...", "internal/proctest/worker", "internal/proctest/teller", "internal/exact/embed", "internal/exact/simulator"}
	seams := []string{"transport", "internal/proctest", "bench/..."}
	return []Ban{
		{Import: "net", NotIn: seams, Why: seam, Names: []string{
			"Listen*", "Dial*", "Lookup*", "Resolve*", "Resolver", "DefaultResolver", "FileConn", "FileListener",
		}, Except: []string{"Listener"}},
		{Import: "crypto/tls", NotIn: seams, Why: seam, Names: []string{"Dial*", "Listen"}},
		{
			Import: "time", In: []string{"internal/wire", "internal/pack"}, Why: "a pure package has no clock of its own",
			Names: []string{"Now", "Since", "Until", "Sleep", "After*", "Tick", "NewTimer", "NewTicker"},
		},
		{Import: "math/rand", Names: []string{"*"}, Why: "use a seeded source of math/rand/v2"},
		{
			Import: "math/rand/v2", Names: []string{"*"}, Why: "use a source seeded from the configuration",
			Except: []string{"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf"},
		},
		{Import: "github.com/rs/zerolog/log", Names: []string{"*"}, Why: logger},
		{Import: "github.com/rs/zerolog", Names: []string{"SetGlobalLevel"}, Why: logger},
		{Import: "log", NotIn: programs, Why: logger, Names: []string{
			"Print*", "Fatal*", "Panic*", "Set*", "Output", "Writer", "Default",
		}},
		{Import: "fmt", NotIn: programs, Names: []string{"Print", "Printf", "Println"}, Why: logger},
		{Import: "os", NotIn: programs, Names: []string{"Exit"}, Why: "return an error; only a program ends a process"},
	}
}
