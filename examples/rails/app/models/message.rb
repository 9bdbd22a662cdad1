# frozen_string_literal: true

class Message < ApplicationRecord
  belongs_to :group

  # How many have read the last hundred of one's own messages: { id => [5, 10] }.
  def self.counts(own, user)
    return {} if own.empty?

    asked = own.last(100).map { |message| ["msg_id", message.id] }
    query = URI.encode_www_form([*asked, ["limit", 1], ["user_id", user]])
    answer = Seenby.current.call("GET", "/api/v1/messages/receipts?#{query}")
    answer.fetch("messages", [answer]).to_h do |each|
      [each["msg_id"].to_i, each.values_at("count", "member_count")]
    end
  rescue Seenby::Away
    {} # without seenby there are no counts, but there are messages
  end
end
