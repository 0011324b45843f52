// Package simulator serves the doubles of Microsoft Entra, Microsoft Graph and
// Mitel CloudLink on one address, for clients in any language, together with a
// control endpoint that plays the people and breaks the services.
//
// It knows a small company: people with a Teams account, a CloudLink user and a
// telephone, some of whom lack one of these, and three accounts for presence
// monitors, each with a client secret of its own and a refresh token that saves
// the sign-in. [Colleagues] makes it a large company. [Simulator.Info] tells a
// client all that it needs: URLs, ids, credentials.
//
// # The address
//
// What the vendors have on many hosts lies below one base URL here:
//
//	/login/{tenant}/…                Microsoft Entra, also without /login
//	/graph/v1.0/…                    Microsoft Graph, also without /graph
//	/cloudlink/{service}/2017-09-01  CloudLink: authentication, admin, media, notifications, presence
//	/control/…                       the control endpoint
//
// # The control endpoint
//
// Requests and answers are JSON. A request that cannot be used is answered 400
// with {"error": …}, a sentence that says what to send instead, and changes
// nothing. GET /control lists every command with an example.
//
//	POST   /control/teams                     what a person's Teams clients show, their preferred presence, calendar, out of office
//	POST   /control/phone                     what a telephone does
//	POST   /control/micollab                  the status that a person picks in MiCollab
//	POST   /control/faults                    answer, fail, delay or drop requests of a service
//	DELETE /control/faults                    end that
//	POST   /control/notifications             drop, duplicate, delay or hold notifications of a service
//	GET    /control/notifications             which of these faults are not used up
//	DELETE /control/notifications             end that
//	POST   /control/subscriptions/kill        take a subscription away, silently or not
//	POST   /control/subscriptions/reauthorize have Graph ask for a subscription's reauthorization
//	POST   /control/secrets/expire            end a client secret
//	POST   /control/tokens/revoke             revoke what a person, or CloudLink, has given out
//	GET    /control/state                     what everybody shows, and the subscriptions
//	GET    /control/requests                  the requests that the services received, without secrets
//	GET    /control/history                   what has changed, and by whom
//	GET    /control/info                      what Info returns
//
// A person is named by Entra object id, principal name, mail address, CloudLink
// id, extension or name; upper and lower case do not matter.
//
// # Safety
//
// The simulator hands out credentials and does what anybody asks. It listens on
// loopback addresses only, and posts notifications to loopback addresses only,
// unless told otherwise. The certificates of webhooks on loopback addresses are
// not checked, because nobody issues any for them.
package simulator
