# frozen_string_literal: true

class Group < ApplicationRecord
  has_many :members, dependent: :delete_all
  has_many :messages, dependent: :delete_all

  def self.make(id, user_ids)
    transaction do
      group = create!(id: id)
      user_ids.each { |user_id| group.members.create!(user_id: user_id) }
      OutboxCall.create!(http_method: "PUT", path: group.path,
                         body: { type: "group", members: user_ids })
      group
    end
  end

  def change(add: [], remove: [])
    transaction do
      add.each { |user_id| members.find_or_create_by!(user_id: user_id) }
      members.where(user_id: remove).delete_all
      OutboxCall.create!(http_method: "POST", path: "#{path}/members",
                         body: { add: add, remove: remove })
    end
  end

  # When this returns, seenby has been told; now deliver the message to the members.
  def post(sender, text)
    transaction do
      message = messages.create!(sender: sender, text: text)
      body = { msg_id: message.id.to_s, conversation_id: id, sender_id: sender }
      OutboxCall.create!(http_method: "POST", path: "/api/v1/messages", body: body)
      message
    end
  end

  def path
    "/api/v1/conversations/#{ERB::Util.url_encode(id)}"
  end
end
