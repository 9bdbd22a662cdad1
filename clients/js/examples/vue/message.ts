// A message as the chat's backend gives it.

export interface Message {
  id: string;
  senderId: string;
  text: string;
}
