package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/cmd/meshnode/internal/jsonpack"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// answerJSON is one node's answer as programs read it.
type answerJSON struct {
	Node      string          `json:"node"`
	Reply     json.RawMessage `json:"reply,omitempty"`
	Raw       bool            `json:"raw,omitempty"` // the reply was no msgpack
	Error     *errorJSON      `json:"error,omitempty"`
	ElapsedUS int64           `json:"elapsed_us"`
}

// readAnswer gives an answer as JSON.
func readAnswer(a *node.ForwardAnswer) answerJSON {
	out := answerJSON{Node: a.Node, ElapsedUS: a.ElapsedUS}
	if a.Code != rpc.OK {
		out.Error = &errorJSON{Code: a.Code.String(), Message: a.Message}
		return out
	}
	reply, err := jsonpack.ToJSON(a.Body)
	if err != nil {
		out.Raw = true
		reply = json.RawMessage(`"` + base64.StdEncoding.EncodeToString(a.Body) + `"`)
	}
	out.Reply = reply
	return out
}

func (a *app) printAnswer(answer answerJSON) error {
	if a.json() {
		return a.printJSON(answer)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, answer.Reply, "", "  "); err != nil {
		return err
	}
	elapsed := time.Duration(answer.ElapsedUS) * time.Microsecond
	fmt.Fprintf(a.stderr, "answered by %s in %s\n", answer.Node, brief(elapsed))
	return a.printLines(pretty.String())
}

// printAnswers prints what all nodes said. The error says how many failed.
func (a *app) printAnswers(answers []node.ForwardAnswer) error {
	all := make([]answerJSON, len(answers))
	failed := 0
	for i := range answers {
		all[i] = readAnswer(&answers[i])
		if all[i].Error != nil {
			failed++
		}
		if a.json() {
			continue
		}
		if err := a.printJSONLine(all[i]); err != nil {
			return err
		}
	}
	if a.json() {
		if err := a.printJSON(all); err != nil {
			return err
		}
	}
	if failed > 0 {
		return failf(rpc.Unavailable, "%d of %d nodes did not answer as they should; their errors are in the output", failed, len(all))
	}
	return nil
}
