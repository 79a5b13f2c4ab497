package webui

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recado/queue"
	"recado/queue/inbox"
)

// InboundMessage is a received message.
type InboundMessage struct {
	ID         string     `json:"id" doc:"UUIDv7"`
	From       string     `json:"from" doc:"The sender: a number, or a name"`
	To         *string    `json:"to" doc:"The SIM's own number, when it is known"`
	Text       string     `json:"text" doc:"With […] where a segment is missing"`
	Kind       string     `json:"kind" enum:"text,flash,binary,undecodable" doc:"flash is a text of class 0; binary is data, and undecodable what could not be read: both have no text"`
	SIM        string     `json:"sim" doc:"ICCID"`
	ReceivedAt time.Time  `json:"received_at"`
	SentAt     *time.Time `json:"sent_at" doc:"The service centre's time; null when it cannot be read"`
	Complete   bool       `json:"complete"`
	Segments   Parts      `json:"segments"`
	Read       bool       `json:"read"`
}

// Parts says how many segments are there.
type Parts struct {
	Have int `json:"have"`
	Of   int `json:"of"`
}

func inboundOf(m inbox.Message) InboundMessage {
	return InboundMessage{ID: m.ID, From: m.From, To: some(m.To), Text: m.Text, Kind: m.Kind, SIM: m.SIM, ReceivedAt: m.ReceivedAt.UTC(),
		SentAt: when(m.SentAt), Complete: m.Complete, Segments: Parts{m.Have, m.Of}, Read: m.Read}
}

// InboundList is a part of the received messages.
type InboundList list[InboundMessage]

type inboundOut struct{ Body InboundMessage }

type InboundID struct {
	ID string `path:"id" maxLength:"64" doc:"The received message's id"`
}

func (s *Server) listInbox() *operation {
	type (
		in struct {
			Paging
			From   string    `query:"from" maxLength:"32" doc:"The sender's number or name"`
			Kind   string    `query:"kind" enum:"text,flash,binary,undecodable" doc:"Only of this kind"`
			Unread bool      `query:"unread" doc:"Only the unread"`
			Since  time.Time `query:"since" doc:"Received at or after"`
		}
		out struct{ Body InboundList }
	)
	return op(operation{id: "list-inbox", tag: "Received", summary: "Received messages, newest first"},
		func(ctx context.Context, in *in) (*out, error) {
			list, next, err := s.inbox.List(ctx, inbox.Filter{From: s.number(in.From), Kind: in.Kind, Unread: in.Unread, Since: in.Since,
				Limit: in.Limit, Cursor: in.Cursor})
			return &out{InboundList(listed(list, next, inboundOf))}, err
		})
}

func (s *Server) getInbox() *operation {
	return op(operation{id: "get-inbox-message", tag: "Received", summary: "One received message"},
		func(ctx context.Context, in *InboundID) (*inboundOut, error) {
			m, err := s.inbox.Get(ctx, in.ID)
			return &inboundOut{inboundOf(m)}, err
		})
}

func (s *Server) patchInbox() *operation {
	type in struct {
		InboundID
		Body struct {
			Read bool `json:"read"`
		} `nameHint:"InboundPatch"`
	}
	return op(operation{id: "patch-inbox-message", tag: "Received", summary: "Mark a received message read or unread"},
		func(ctx context.Context, in *in) (*inboundOut, error) {
			m, err := s.inbox.SetRead(ctx, in.ID, in.Body.Read)
			return &inboundOut{inboundOf(m)}, err
		})
}

// Conversation is everything exchanged with one number.
type Conversation struct {
	Number   string    `json:"number" doc:"A number, or a sender's name"`
	LastAt   time.Time `json:"last_at"`
	LastText string    `json:"last_text"`
	LastOut  bool      `json:"last_out" doc:"The last one was ours"`
	SIM      string    `json:"sim" doc:"ICCID of the SIM that received last: a reply leaves on it"`
	Unread   int       `json:"unread"`
}

func conversationOf(c inbox.Conversation) Conversation {
	return Conversation{c.Number, c.LastAt.UTC(), c.LastText, c.LastOut, c.SIM, c.Unread}
}

// ConversationList is a part of the conversations.
type ConversationList list[Conversation]

func (s *Server) listConversations() *operation {
	type (
		in struct {
			Paging
			Unread bool `query:"unread" doc:"Only those with something unread"`
		}
		out struct{ Body ConversationList }
	)
	return op(operation{id: "list-conversations", tag: "Received", summary: "Conversations, the one written last first"},
		func(ctx context.Context, in *in) (*out, error) {
			list, next, err := s.inbox.Conversations(ctx, inbox.Filter{Unread: in.Unread, Limit: in.Limit, Cursor: in.Cursor})
			return &out{ConversationList(listed(list, next, conversationOf))}, err
		})
}

// ThreadEntry is a message of a conversation; one of inbound and message is set.
type ThreadEntry struct {
	Direction string          `json:"direction" enum:"in,out"`
	At        time.Time       `json:"at"`
	Inbound   *InboundMessage `json:"inbound" doc:"What was received, for in"`
	Message   *Message        `json:"message" doc:"What was sent, for out"`
}

// TransformSchema says which of the two may be null.
func (ThreadEntry) TransformSchema(r huma.Registry, s *huma.Schema) *huma.Schema {
	nullable(r, s, "inbound", reflect.TypeFor[InboundMessage]())
	nullable(r, s, "message", reflect.TypeFor[Message]())
	return s
}

func threadEntryOf(e inbox.Entry) ThreadEntry {
	if e.In != nil {
		return ThreadEntry{Direction: "in", At: e.At.UTC(), Inbound: new(inboundOf(*e.In))}
	}
	return ThreadEntry{Direction: "out", At: e.At.UTC(), Message: new(messageOf(*e.Out))}
}

// Thread is a part of a conversation.
type Thread list[ThreadEntry]

// WithNumber is a conversation's place in a path.
type WithNumber struct {
	Number string `path:"number" maxLength:"64" doc:"The number, or a sender's name"`
}

// conversation finds it by the number as written, or completed.
func (s *Server) conversation(ctx context.Context, in WithNumber) (inbox.Conversation, error) {
	number := in.Number
	if plain, err := url.PathUnescape(number); err == nil {
		number = plain
	}
	c, err := s.inbox.Conversation(ctx, number)
	if errors.Is(err, inbox.ErrNotFound) {
		if complete := s.number(number); complete != number {
			c, err = s.inbox.Conversation(ctx, complete)
		}
	}
	if errors.Is(err, inbox.ErrNotFound) {
		return c, newProblem(http.StatusNotFound, "nothing was received from this number")
	}
	return c, err
}

func (s *Server) conversationMessages() *operation {
	type (
		in struct {
			WithNumber
			Paging
		}
		out struct{ Body Thread }
	)
	return op(operation{id: "list-conversation-messages", tag: "Received", summary: "What was exchanged with a number, newest first"},
		func(ctx context.Context, in *in) (*out, error) {
			c, err := s.conversation(ctx, in.WithNumber)
			if err != nil {
				return nil, err
			}
			list, next, err := s.inbox.Thread(ctx, c.Number, in.Limit, in.Cursor)
			return &out{Thread(listed(list, next, threadEntryOf))}, err
		})
}

func (s *Server) replyConversation() *operation {
	type in struct {
		WithNumber
		Body struct {
			Text string `json:"text" minLength:"1"`
		} `nameHint:"Reply"`
	}
	return op(operation{id: "reply-conversation", tag: "Received", summary: "Answer on the SIM that received", status: http.StatusAccepted,
		description: "Answers when the message is on disk; it is not yet sent."},
		func(ctx context.Context, in *in) (*messageOut, error) {
			c, err := s.conversation(ctx, in.WithNumber)
			if err != nil {
				return nil, err
			}
			m, err := s.reply(ctx, c, in.Body.Text)
			return &messageOut{messageOf(m)}, err
		})
}

// reply sends a text to a conversation's number on the SIM that received last.
func (s *Server) reply(ctx context.Context, c inbox.Conversation, text string) (queue.Message, error) {
	r, err := s.request(ctx, &MessageRequest{To: Recipients{c.Number}, Text: text, Class: string(queue.Normal)})
	if err != nil {
		return queue.Message{}, err
	}
	r.SIM, r.ReplyTo = c.SIM, c.Number
	result, err := s.store.Submit(ctx, r, nil)
	if errors.Is(err, queue.ErrAllRejected) && len(result.Rejected) > 0 {
		p := invalid("path.number", result.Rejected[0].Detail, c.Number)
		p.Errors[0].Code = string(result.Rejected[0].Code)
		return queue.Message{}, p
	}
	if err != nil {
		return queue.Message{}, err
	}
	s.metrics.accepted(r.Class, 1)
	return result.Messages[0], nil
}
