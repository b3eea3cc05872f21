package helper

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"trimtab/nginx"
)

// What the helper asks of the worker, on the socket for changes, while a change is under way.

// patience is how long the worker may take to answer.
func (s *Server) patience() time.Duration {
	if s.Patience > 0 {
		return s.Patience
	}
	return 10 * time.Second
}

// said reads one answer. What comes too late would be taken for the answer to another question: then the socket is
// closed, and the change that is under way, whose goroutine this is, goes by what can be seen without the worker.
func (s *Server) said(conn net.Conn) (statusReply, error) {
	var said statusReply
	err := conn.SetReadDeadline(time.Now().Add(s.patience()))
	if err == nil {
		err = readFrame(conn, &said)
	}
	if err != nil {
		s.lose(conn)
		return said, err
	}
	_ = conn.SetReadDeadline(time.Time{})
	if said.Error != "" {
		return said, errors.New(said.Error)
	}
	return said, nil
}

func (s *Server) lose(conn net.Conn) {
	_ = conn.Close()
	s.root().blind()
}

// askStatus has the worker say what the status page shows.
func (s *Server) askStatus(conn net.Conn) (nginx.Status, error) {
	err := writeFrame(conn, reply{AskStatus: true})
	var said statusReply
	if err == nil {
		said, err = s.said(conn)
	}
	if err != nil {
		return nginx.Status{}, fmt.Errorf("ask the worker for the status page: %w", err)
	}
	return labelledStatus(said.Status, fromSocket), nil
}

// askOrigin has look see a connection on which the status page is answering the worker.
func (s *Server) askOrigin(conn net.Conn, look func(net.Conn) error) error {
	if err := writeFrame(conn, reply{AskOrigin: true}); err != nil {
		return err
	}
	said, err := s.said(conn)
	if err != nil {
		return fmt.Errorf("ask the worker for a connection to the status page: %w", err)
	}
	if !said.Socket {
		s.lose(conn)
		return fmt.Errorf("%w: no socket to look at", errProtocol)
	}
	f, err := receiveSocket(conn)
	if err != nil {
		s.lose(conn)
		return err
	}
	page, err := net.FileConn(f)
	f.Close()
	if err == nil {
		err = look(page)
		page.Close()
	}
	if err := errors.Join(err, writeFrame(conn, reply{Seen: true})); err != nil {
		return err
	}
	_, err = s.said(conn)
	return err
}

// orderBudget bounds how often the worker may have NGINX reloaded for orders, which no other budget holds: a slow start
// takes ten steps, and a person who drains one server after another fewer.
type orderBudget struct {
	mu   sync.Mutex
	made []time.Time
}

const (
	ordersMost   = 60
	ordersWithin = 10 * time.Minute
)

func (b *orderBudget) allow(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.made) > 0 && now.Sub(b.made[0]) >= ordersWithin {
		b.made = b.made[1:]
	}
	if len(b.made) < ordersMost {
		return nil
	}
	return &nginx.Refusal{Reason: fmt.Sprintf("held: %d reloads for orders within %s", ordersMost, ordersWithin),
		RetryAfter: b.made[0].Add(ordersWithin).Sub(now)}
}

func (b *orderBudget) spend(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made = append(b.made, now)
}
