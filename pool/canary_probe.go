package pool

import (
	"context"
	"errors"
	"slices"
	"time"

	"recado/queue"
)

// probe looks whether the lines in quarantine work again.
func (k *keeper) probe(ctx context.Context, now time.Time) error {
	mutes := k.p.canaries.mutes.Load()
	if mutes == nil {
		return nil
	}
	for key, m := range *mutes {
		if !m.NoSend && !m.NoReceive || k.p.canaryFit(key) != nil || k.underWay(key) {
			continue
		}
		l := k.p.lineOfSIM(key)
		modem := l.snapshot().ID
		moved := m.Modem != "" && m.Modem != modem // it may have been the modem
		if !moved && (now.UnixMilli() < m.Next || probed(l, k.settings, m, now)) || !l.open() {
			continue
		}
		peer := k.p.canaryPeer(key)
		var asked []pair
		switch {
		case peer == key:
			asked = []pair{{key, key}}
		default:
			if m.NoSend {
				asked = append(asked, pair{key, peer})
			}
			if m.NoReceive {
				asked = append(asked, pair{peer, key})
			}
		}
		next := min(probeFirst<<min(m.Probes+1, 10), probeMost)
		err := k.p.change(ctx, func(mutes map[string]queue.Mute) {
			m, ok := mutes[key]
			if !ok || !m.NoSend && !m.NoReceive {
				return
			}
			if moved {
				m.Probes, m.Asked = 0, now.UnixMilli()
			} else {
				m.Probes++
			}
			m.Next, m.Modem = now.Add(next).UnixMilli(), modem
			mutes[key] = m
		})
		if err != nil {
			return err
		}
		if err := k.send(ctx, asked, queue.CanaryProbe); err != nil {
			return err
		}
	}
	return nil
}

// probed says that a line is looked at no more by itself: it has been for so long
// as may be without leave. A person may test it, or change something about it.
func probed(l *line, c queue.CanarySettings, m queue.Mute, now time.Time) bool {
	return !l.port.Emulated && !c.RealSIMs && now.UnixMilli()-max(m.Since, m.Asked) >= probesWithoutLeave.Milliseconds()
}

// underWay says that a canary of the SIM is.
func (k *keeper) underWay(key string) bool {
	return slices.ContainsFunc(k.last, func(c queue.Canary) bool { return c.EndedAt.IsZero() && (c.From == key || c.To == key) })
}

func (k *keeper) send(ctx context.Context, list []pair, why string) error {
	for _, q := range list {
		c, err := k.p.startCanary(ctx, q.from, q.to, why)
		if errors.Is(err, queue.ErrCanaryRunning) {
			continue
		}
		if _, bad := errors.AsType[*queue.Invalid](err); bad {
			k.p.log.Warn("a canary could not be sent", "to", q.to, "error", err)
			continue
		}
		if err != nil {
			return err
		}
		k.last = append(k.last, c)
		k.live = true
	}
	return k.carry(ctx)
}

// scheduled sends a round when it is due: each line texts the next, so that each
// sends one and receives one.
func (k *keeper) scheduled(ctx context.Context, now time.Time) error {
	if k.settings.EveryHours <= 0 || now.Sub(k.round) < time.Duration(k.settings.EveryHours)*time.Hour {
		return nil
	}
	var rings [2][]string // emulated, real
	for _, one := range k.p.parties() {
		switch {
		case !one.fit || one.mute[sending] || one.mute[receiving] || k.p.doubted(one.iccid) == queue.DoubtNumber:
		case one.emulated:
			rings[0] = append(rings[0], one.iccid)
		case k.settings.RealSIMs:
			rings[1] = append(rings[1], one.iccid)
		}
	}
	if err := k.p.store.SetCanaryRound(ctx, now); err != nil {
		return err
	}
	k.round = now
	var list []pair
	for _, ring := range rings {
		for i, from := range ring {
			list = append(list, pair{from, ring[(i+1)%len(ring)]})
		}
	}
	return k.send(ctx, list, queue.CanarySchedule)
}

// heard ends the quarantine of a line that has received something all the same.
func (k *keeper) heard(ctx context.Context) {
	for key, m := range k.p.mutesNow() {
		if !m.NoReceive && m.Doubt != queue.DoubtAlone || !k.p.receivedSince(key, m) {
			continue
		}
		var err error
		if m.NoSend && !m.NoTell {
			err = k.p.change(ctx, func(mutes map[string]queue.Mute) {
				m := mutes[key]
				m.NoReceive = false
				mutes[key] = m
			})
			k.p.hintAll(key)
		} else {
			err = k.p.acquit(ctx, key)
		}
		k.p.complain(ctx, "ending a quarantine", err)
	}
}
