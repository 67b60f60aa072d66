package main

import (
	"fmt"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
)

// factsTable is what pages may ask of a host, by the word that they use. A fact
// that is not known is no sentence.
var factsTable = map[string]func(*place, *space) []string{
	"range":      rangeFacts,
	"fullest":    fullestFacts,
	"reuse":      reuseFacts,
	"wait":       waitFacts,
	"walk":       walkFacts,
	"sockets":    socketFacts,
	"udp":        udpFacts,
	"claims":     claimFacts,
	"limits":     limitFacts,
	"accepted":   acceptedFacts,
	"privileged": privilegedFacts,
}

func rangeFacts(_ *place, s *space) []string {
	ports := host.Dealt(s.limits.Range, s.limits.Reserved).Count()
	reserved := "none reserved"
	if n := s.limits.Range.Ports() - ports; n > 0 {
		reserved = fmt.Sprintf("%d of them reserved", n)
	}
	return []string{fmt.Sprintf("ip_local_port_range is %s, %s: the kernel gives %d ports.", s.limits.Range, reserved, ports)}
}

func fullestFacts(_ *place, s *space) []string {
	if s.survey == nil {
		return nil
	}
	pool, found, complete := s.survey.Fullest()
	switch {
	case !complete:
		return []string{"There are too many destinations to tell the fullest."}
	case !found:
		return []string{"No outgoing TCP connection holds a port now."}
	}
	return []string{fmt.Sprintf("Most ports are taken towards %s from %s: %d of %d.",
		pool.Remote, pool.Local, pool.Ports, s.survey.Capacity())}
}

func reuseFacts(_ *place, s *space) []string {
	words := map[int]string{0: "off", 1: "on", 2: "on for loopback only"}
	sentence := fmt.Sprintf("tcp_tw_reuse is %d, %s", s.limits.TWReuse, words[s.limits.TWReuse])
	if s.limits.Timestamps == 0 {
		sentence += ", and without effect: tcp_timestamps is 0"
	}
	if d := s.limits.TWReuseDelayMillis; d != nil {
		sentence += fmt.Sprintf("; tcp_tw_reuse_delay is %d ms", *d)
	}
	return []string{sentence + "."}
}

func waitFacts(_ *place, s *space) []string {
	var all []string
	if s.limits.FinTimeoutSeconds > 0 { // 0 is what a tree without the file tells
		all = append(all, fmt.Sprintf("tcp_fin_timeout is %d s; TIME_WAIT is 60 s whatever it is.", s.limits.FinTimeoutSeconds))
	}
	if s.survey != nil {
		all = append(all, fmt.Sprintf("%d sockets wait in TIME_WAIT; tcp_max_tw_buckets is %d.", s.survey.TimeWait, s.limits.MaxTWBuckets))
	}
	return all
}

// walkFacts says in which order connect() walks the range, and how far the
// walk towards the fullest destination has come.
func walkFacts(_ *place, s *space) []string {
	first, second := "even", "odd"
	if s.limits.Range.Low%2 == 1 {
		first, second = second, first
	}
	all := []string{fmt.Sprintf("Here connect() prefers %s ports, bind(0) %s ones.", first, second)}
	if w := s.limits.StepWidth; w != nil {
		all = append(all, fmt.Sprintf("ip_local_port_step_width is %d.", *w))
	}
	if s.survey == nil {
		return all
	}
	if pool, found, complete := s.survey.Fullest(); found && complete {
		preferred, other := s.survey.Halves(pool, s.limits.Range.Low)
		all = append(all, fmt.Sprintf("Towards %s, %d %s and %d %s ports are taken.", pool.Remote, preferred, first, other, second))
	}
	return all
}

func socketFacts(_ *place, s *space) []string {
	if s.survey == nil {
		return nil
	}
	inside := 0
	for i := range s.survey.Fixed {
		k := &s.survey.Fixed[i]
		if k.Protocol == event.TCP && s.limits.Range.Contains(k.Local.Port()) {
			inside++
		}
	}
	return []string{fmt.Sprintf("%d ports of the range have a TCP socket; %d TCP sockets listen or are bound there.",
		host.InRange(&s.survey.TCP, &s.limits), inside)}
}

func udpFacts(_ *place, s *space) []string {
	if s.survey == nil {
		return nil
	}
	return []string{fmt.Sprintf("%d of %d ports of the range have a UDP socket.",
		host.InRange(&s.survey.UDP, &s.limits), host.Dealt(s.limits.Range, s.limits.Reserved).Count())}
}

func claimFacts(p *place, _ *space) (all []string) {
	claims, unread := host.FindClaims(p.root)
	for _, c := range claims {
		all = append(all, fmt.Sprintf("%s are claimed: %s.", host.FormatPorts([]event.PortRange{c.Ports}), c.Name))
	}
	if len(claims) == 0 {
		all = append(all, "No claim was found in the files of this host.")
	}
	for _, u := range unread {
		all = append(all, fmt.Sprintf("%s could not be read: %s.", u.What, u.Why))
	}
	return all
}

func limitFacts(p *place, s *space) []string {
	r := host.LimitsReport{Thresholds: usualThresholds, Limits: host.ReadLimits(&host.LimitsInput{
		Root: p.root, Facts: s.facts, Survey: s.survey, Settings: s.limits, Namespace: s.Name,
	})}
	r.Rank()
	return []string{r.Summary()}
}

func acceptedFacts(_ *place, s *space) (all []string) {
	if s.survey == nil {
		return nil
	}
	for _, a := range s.survey.AcceptedPorts(1) {
		all = append(all, fmt.Sprintf("%d connections accepted on port %d use that one port.", a.Count, a.Port))
	}
	return all
}

func privilegedFacts(_ *place, s *space) []string {
	return []string{fmt.Sprintf("ip_unprivileged_port_start is %d here.", s.limits.UnprivilegedStart)}
}
