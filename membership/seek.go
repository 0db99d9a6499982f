package membership

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// idle is how long the seeker sleeps when it has nothing to look for.
const idle = time.Hour

// reannouncements are made by a node that came back under its name at another
// address, for members that had not heard of its former end when they heard of
// its return.
const reannouncements = 3

// seeker looks for the cluster: first by the seeds, then for parts of it that
// got lost. One goroutine owns it.
type seeker struct {
	c        *Cluster
	rnd      *rand.Rand
	failures int               // rounds in a row
	announce int               // re-announcements to make
	known    []Known           // of Config.Known, those not met yet
	found    time.Time         // when the cluster was found; zero: not yet
	refusals map[string]string // permanent reason last logged, by seed
}

func (c *Cluster) seekLoop() {
	s := &seeker{
		c:        c,
		rnd:      rand.New(rand.NewPCG(c.cfg.RandSeed, uint64(c.cfg.Advertise.Port()))),
		refusals: map[string]string{},
		known:    slices.Clone(c.known),
	}
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.join.wake:
		case <-timer.C:
		}
		timer.Reset(s.step(c.ctx))
	}
}

// step does what is due and says when to come back.
func (s *seeker) step(ctx context.Context) time.Duration {
	c := s.c
	active, done := c.join.status()
	switch {
	case !active || c.hasLeft():
		return idle
	case !done:
		return s.first(ctx)
	}
	if s.announce > 0 {
		s.announce--
		c.announce()
	}
	if len(c.seeds) > 0 && c.roster.others(c.cfg.Name) == 0 {
		return s.lonely(ctx)
	}
	s.heal(ctx)
	return s.pause()
}

// pause is the time to the next look at a cluster that has been found.
func (s *seeker) pause() time.Duration {
	s.failures = 0
	d := s.c.tune.rejoin
	if s.announce > 0 {
		d = min(d, 4*s.c.tune.probeInterval)
	}
	return s.jitter(d)
}

// jitter gives a time from 3/4 to 5/4 of d.
func (s *seeker) jitter(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(s.rnd.Int64N(int64(d/2)+1))
}

// backoff doubles with every failed round, up to a bound, and starts over when
// the seeds work.
func (s *seeker) backoff(err error) time.Duration {
	t := &s.c.tune
	d := min(t.backoffMin<<min(s.failures, 16), t.backoffMax)
	s.failures++
	if errors.Is(err, ErrNameListed) || errors.Is(err, ErrNotAccepted) {
		d = min(d, 2*t.probeInterval) // it will pass soon
	}
	return s.jitter(d)
}

// first tries to find the cluster.
func (s *seeker) first(ctx context.Context) time.Duration {
	c := s.c
	err := s.round(ctx)
	if err == nil {
		s.found = time.Now()
		s.gather(ctx)
		_ = c.flush(ctx) // fails only when the Cluster stops
		c.join.succeed()
		return s.pause()
	}
	if ctx.Err() != nil {
		return idle
	}
	c.join.note(err)
	s.logRound(err)
	var seeds SeedErrors
	taken := errors.Is(err, ErrNameTaken)
	if taken || errors.As(err, &seeds) && seeds.permanent() {
		if c.join.giveUp(err) {
			return idle
		}
		if taken {
			c.fail(err)
		}
	}
	return s.backoff(err)
}

// lonely tries to find back to the cluster when all others are gone.
func (s *seeker) lonely(ctx context.Context) time.Duration {
	c := s.c
	err := s.round(ctx)
	if err == nil {
		return s.pause()
	}
	var taken *NameTakenError
	if errors.As(err, &taken) && c.younger(taken) {
		c.fail(err)
	}
	s.logRound(err)
	s.heal(ctx) // the seeds may be gone, and others that got lost be there
	if c.roster.others(c.cfg.Name) > 0 {
		return s.pause()
	}
	return s.backoff(err)
}

// logRound says why no seed was of use: what will not pass by itself once per
// seed, the rest now and then.
func (s *seeker) logRound(err error) {
	if s.c.ctx.Err() != nil {
		return
	}
	var seeds SeedErrors
	if errors.As(err, &seeds) {
		for _, se := range seeds {
			s.logRefusal(se)
		}
	}
	if s.c.quiet.allow("round", time.Now()) {
		s.c.log.Warn().Err(err).Int("round", s.failures+1).Msg(s.c.fruitless())
	}
}

// fruitless says what a round has not found.
func (c *Cluster) fruitless() string {
	switch {
	case len(c.known) == 0:
		return "no seed could be joined; trying again"
	case len(c.seeds) == 0:
		return "no peer that this node knew could be joined; trying again"
	}
	return "no seed and no peer that this node knew could be joined; trying again"
}

func (s *seeker) logRefusal(se *SeedError) {
	text := se.Err.Error()
	if permanent(se.Err) && s.refusals[se.Seed] != text {
		s.refusals[se.Seed] = text
		s.c.log.Error().Str("seed", se.Seed).Err(se.Err).Msg("seed refuses for a reason that will not pass by itself")
	}
}

// round tries all seeds, and the known members that are unmet. It returns nil when
// one has taken this node in, and when there is nobody but this node, which then
// founds the cluster. Otherwise the error is SeedErrors.
func (s *seeker) round(ctx context.Context) error {
	c := s.c
	targets, failed := s.targets(ctx)
	p, refused, ok := c.attempt(ctx, targets)
	if ok {
		s.entered(p)
		return nil
	}
	if failed = append(failed, refused...); len(failed) > 0 {
		return failed
	}
	if s.found.IsZero() { // later rounds only look whether others have come back
		c.log.Info().Msg("every seed is this node itself: it founds the cluster")
	}
	return nil
}

func (s *seeker) entered(p peer) {
	clear(s.refusals)
	if p.moved {
		s.announce = reannouncements
	}
	s.c.log.Info().Str("peer", p.id.Name).Stringer("addr", p.addr).
		Int("members", s.c.roster.others(s.c.cfg.Name)+1).Msg("joined the cluster")
}

// heal tries one process that should be in the cluster and is not: a seed, a
// member that got lost, or one that was known before. That mends a partition that lasted longer than
// gossip remembers the dead.
func (s *seeker) heal(ctx context.Context) {
	c := s.c
	if c.roster.unjudged() {
		if states, err := c.localStates(ctx); err == nil {
			c.roster.judge(states)
		}
	}
	c.roster.prune(time.Now())
	missing := s.missing(ctx)
	// Known members may be many and long gone: they get every other turn at most.
	if unmet := s.unmetMissing(); len(unmet) > 0 && (len(missing) == 0 || s.rnd.IntN(2) == 0) {
		missing = unmet
	}
	if len(missing) == 0 {
		return
	}
	t := missing[s.rnd.IntN(len(missing))]
	p, err := c.contact(ctx, t.target)
	switch {
	case err != nil:
		s.unhealed(t, err)
		return
	case s.present(p):
		return
	}
	if err := c.enter(ctx, p); err != nil {
		s.unhealed(t, err)
		return
	}
	s.entered(p)
}

// absentee is a process that should be in the cluster and is not.
type absentee struct {
	target
	member string // set for a lost member, not for others
}

func (s *seeker) missing(ctx context.Context) []absentee {
	c := s.c
	var missing []absentee
	live := c.roster.addrs()
	targets, _ := c.resolve(ctx)
	for _, t := range targets {
		if !slices.ContainsFunc(t.addrs, func(a netip.AddrPort) bool { return live[a] }) {
			missing = append(missing, absentee{target: t})
		}
	}
	for _, m := range c.roster.lost() {
		if !live[m.Addr] {
			missing = append(missing, absentee{target{name: m.Addr.String(), addrs: []netip.AddrPort{m.Addr}}, m.Name})
		}
	}
	return missing
}

// unmetMissing is missing for the known members.
func (s *seeker) unmetMissing() []absentee {
	var missing []absentee
	live := s.c.roster.addrs()
	for _, k := range s.unmet(time.Now()) {
		if !live[k.Addr] {
			missing = append(missing, absentee{target: k.target()})
		}
	}
	return missing
}

// present tells whether a process that answered at a seed's address is a live
// member under another address.
func (s *seeker) present(p peer) bool {
	m, ok := s.c.roster.get(p.id.Name)
	return ok && m.Boot == p.id.Boot
}

func (s *seeker) unhealed(t absentee, err error) {
	var taken *NameTakenError
	switch {
	case s.c.ctx.Err() != nil || errors.Is(err, errSelf):
	case errors.As(err, &taken):
		s.c.conflicts.report(conflict{name: taken.Name, known: s.c.cfg.Advertise, other: taken.Addr})
	case t.known && errors.Is(err, ErrClusterMismatch):
		s.disown(t.addrs[0])
	case t.member != "" && errors.Is(err, ErrClusterMismatch):
		s.c.roster.forget(t.member) // somebody else has its address now
	case permanent(err):
		s.logRefusal(&SeedError{Seed: t.name, Err: err})
	default:
		s.c.log.Debug().Str("addr", t.name).Err(err).Msg("a missing process cannot be joined")
	}
}
