package monitor

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/presencebridge/presencebridge/presence"
)

// wardrobe holds the certificate that is wanted now.
type wardrobe struct {
	atomic.Pointer[presence.EncryptionCertificate]
}

func wearing(id string) *wardrobe {
	c := new(wardrobe)
	c.change(id)
	return c
}

func (c *wardrobe) change(id string) { c.Store(&presence.EncryptionCertificate{ID: id}) }

func TestCertificatesAreRotatedByRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), wearing("c1")
		m := w.monitor(t, &Options{Memory: w, Encryption: c.Load})
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(45 * time.Minute)
		assert.Equal(t, []string{"recall", "create 1 with c1", "remember s1", "renew s1", "remember s1"}, w.drain(), "it has this one")
		c.change("c2")
		sleep(40 * time.Minute)
		assert.Equal(t, []string{"renew s1 with c2", "remember s1"}, w.drain())
		assert.Equal(t, "c2", m.Snapshot().EncryptionID)
		assert.Equal(t, "c2", w.kept.EncryptionID)
		c.Store(nil)
		sleep(40 * time.Minute)
		assert.Equal(t, []string{"renew s1", "remember s1"}, w.drain(), "a renewal cannot end the encryption")
		assert.Equal(t, "c2", w.kept.EncryptionID)
		m.SetUsers([]string{"bob"})
		sleep(time.Minute)
		assert.Equal(t, []string{"delete s1", "remember nothing", "create 1", "remember s2"}, w.drain())
		assert.Empty(t, m.Snapshot().EncryptionID)
		c.change("c3")
		sleep(40 * time.Minute)
		assert.Equal(t, []string{"renew s2", "remember s2"}, w.drain(), "nor begin it")
		assert.Empty(t, w.kept.EncryptionID)
	})
}

func TestAdoptedSubscriptionGetsTheCertificateInAnyCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), wearing("c1")
		leave(w, []string{"anna"}, testURL)
		w.kept.EncryptionID, w.live["old"].encryption = "c1", "c1"
		m := w.monitor(t, &Options{Memory: w, Encryption: c.Load})
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(45 * time.Minute)
		assert.Equal(t, []string{"recall", "renew old with c1", "remember old", "renew old", "remember old"}, w.drain())
	})
}

func TestRefusedCertificateDoesNotEndTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), wearing("c1")
		m := w.monitor(t, &Options{Encryption: c.Load})
		m.SetUsers([]string{"anna"})
		defer start(t, m)()
		sleep(time.Minute)
		w.drain()
		w.happened()
		w.setFault(failing("renew s1 with c2", presence.ErrInvalid))
		c.change("c2")
		sleep(40 * time.Minute)
		assert.Equal(t, []string{"renew s1 with c2", "renew s1"}, w.drain())
		failed := w.events[len(w.events)-1]
		assert.ErrorContains(t, failed.Err, `"c2" is refused`)
		assert.Equal(t, m.Snapshot().NextAt, failed.NextAt)
		assert.Equal(t, []string{"renewed", "failed"}, w.happened())
		assert.Equal(t, "c1", m.Snapshot().EncryptionID)
		assert.Equal(t, ConditionSubscribed, m.Snapshot().Condition)
		w.setFault(nil)
		sleep(40 * time.Minute)
		assert.Equal(t, []string{"renew s1 with c2"}, w.drain())
	})
}
