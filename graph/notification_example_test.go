package graph_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/presence"
)

// One handler is mounted once and serves every subscription; the path is the one
// that the notification URL of the subscriptions names.
func ExampleNotificationHandler() {
	handler := graph.NewNotificationHandler(&graph.NotificationHandlerOptions{
		Refused: func(r graph.Refusal) { fmt.Println("refused:", r.Reason) },
	})
	mux := http.NewServeMux()
	mux.Handle("POST /graph/notifications", handler)

	bind, unregister, err := handler.Register(presence.NewSecret("a random text for this subscription"), presence.Receiver{
		Notify: func(n presence.Notification) { fmt.Println("look at", n.UserID) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unregister()
	// The subscription is created here, with the same client state; its id is bound.
	bind("7f105c7d-2dc5-4530-97cd-4e7ae6534c07")

	// Microsoft Graph first validates the URL, then sends notifications to it.
	for _, request := range []struct{ target, body string }{
		{"/graph/notifications?validationToken=opaque+text", ""},
		{"/graph/notifications", `{"value":[
			{"subscriptionId":"7f105c7d-2dc5-4530-97cd-4e7ae6534c07","clientState":"a random text for this subscription",
			 "changeType":"updated","resourceData":{"id":"66825e03-7ef5-42da-9069-724602c31f6b"}},
			{"subscriptionId":"7f105c7d-2dc5-4530-97cd-4e7ae6534c07","clientState":"a guess",
			 "changeType":"updated","resourceData":{"id":"66825e03-7ef5-42da-9069-724602c31f6b"}}]}`},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, request.target, strings.NewReader(request.body)))
		fmt.Println(strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Body)))
	}
	// Output:
	// 200 opaque text
	// look at 66825e03-7ef5-42da-9069-724602c31f6b
	// refused: wrong client state
	// 202
}
